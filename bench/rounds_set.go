package bench

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Set is what is measured side by side: subjects at several sizes, each with
// several loads.
type Set struct {
	Name  string // the first part of its rows' names
	Title string
	About string // what is measured; what is to be seen
	Axis  string // what the size counts: "keys"
	Sizes []int
	Keys  func(size int) int // of the workload; nil: size

	// Subjects are those of a size, always the same names in the same order.
	Subjects func(size int) []Subject

	// Loads are those of a size. A subject has no rows of the cases that it
	// does not have.
	Loads func(size int) []Load

	// Base is the row that another is set beside, which is measured with it.
	Base func(r Row) Row

	// Omitted are the rows that would say nothing.
	Omitted []Omission

	// Together has all sizes measured in the same rounds, so that they can be
	// set beside each other.
	Together bool
}

// Omission is rows that are not measured.
type Omission struct {
	Rows *regexp.Regexp // of their names
	Why  string
}

// Row is one line of a table.
type Row struct {
	Set     string `json:"set"`
	Size    int    `json:"size"`
	Load    Load   `json:"load"`
	Subject string `json:"subject"` // its name
}

// Name is what -run is matched with, such as
// "auth/1000/uniform/wrong-secret/gin-hand-written".
func (r Row) Name() string {
	return strings.Join([]string{r.Set, strconv.Itoa(r.Size), r.Load.String(), slug(r.Subject)}, "/")
}

// Rows are those of a set, in the order of the report, without the omitted
// ones.
func (s *Set) Rows() []Row {
	return slices.DeleteFunc(s.all(), func(r Row) bool {
		return slices.ContainsFunc(s.Omitted, func(o Omission) bool { return o.Rows.MatchString(r.Name()) })
	})
}

func (s *Set) all() []Row {
	var rows []Row
	for _, size := range s.Sizes {
		for _, load := range s.Loads(size) {
			for _, subject := range s.Subjects(size) {
				rows = append(rows, Row{Set: s.Name, Size: size, Load: load, Subject: subject.Name})
			}
		}
	}
	return rows
}

// Select is the rows whose names match, and those that they are set beside.
func (s *Set) Select(run *regexp.Regexp) []Row {
	rows := s.Rows()
	wanted := make(map[Row]bool)
	for _, r := range rows {
		if run.MatchString(r.Name()) {
			wanted[r], wanted[s.Base(r)] = true, true
		}
	}
	return slices.DeleteFunc(rows, func(r Row) bool { return !wanted[r] })
}

// workload is that of a size.
func (s *Set) workload(size int) *Workload {
	if s.Keys != nil {
		size = s.Keys(size)
	}
	return NewWorkload(size)
}

// What is set beside the others: the simplest check of a key, and the simplest
// limiter.
const (
	HandWritten = "hand-written, sha256 + map"
	BareRate    = "x/time/rate, sharded map"
)

// Peers are the sets that have the library beside what people would use
// instead. The sizes of a short run say little, and are there soon.
func Peers(short bool) []Set {
	sizes := func(long ...int) []int {
		if short {
			return []int{1, 1000}
		}
		return long
	}
	return []Set{
		{
			Name: "auth", Title: "A request with a key", Axis: "keys",
			About:    "A request with a key comes to a guarded handler, which answers 204.",
			Sizes:    sizes(1, 1000, 100_000, 1_000_000),
			Subjects: func(int) []Subject { return Auth() },
			Loads:    authLoads,
			Base:     beside(HandWritten),
			Omitted:  authOmitted,
		},
		{
			Name: "limits", Title: "A limit alone", Axis: "buckets",
			About:    "One token is taken from the bucket of a key, which is known by its name.",
			Sizes:    sizes(1, 1000, 100_000, 1_000_000),
			Subjects: func(int) []Subject { return Limits() },
			Loads:    limitLoads,
			Base:     beside(BareRate),
		},
		{
			Name: "databases", Title: "Keys on a database", Axis: "keys",
			About:    "A key is looked up in a database, on the same machine and over TCP where it is a server.",
			Sizes:    sizes(1000),
			Subjects: func(int) []Subject { return Databases() },
			Loads: func(int) []Load {
				return []Load{{Accepted, Uniform, 1}, {Accepted, Uniform, 2}, {Unknown, Uniform, 1}}
			},
			Base: besideBare,
		},
	}
}

// beside sets every row beside that of one subject with the same load.
func beside(subject string) func(Row) Row {
	return func(r Row) Row {
		r.Subject = subject
		return r
	}
}

// authLoads leaves out what shows nothing new: refusals and two cores are
// measured where the table is smallest and where it is largest, and one key is
// always hot.
func authLoads(size int) []Load {
	switch size {
	case 1:
		return []Load{{Accepted, Hot, 1}, {Accepted, Hot, 2}, {WrongSecret, Hot, 1}, {Unknown, Hot, 1}, {Malformed, Hot, 1}, {Limited, Hot, 1}}
	case 1000:
		return []Load{{Accepted, Uniform, 1}}
	case 100_000:
		return []Load{{Accepted, Hot, 1}, {Accepted, Uniform, 1}, {Accepted, Zipf, 1}, {Accepted, Uniform, 2}}
	}
	return []Load{{Accepted, Uniform, 1}, {Accepted, Zipf, 1}, {Accepted, Uniform, 2}, {WrongSecret, Uniform, 1}, {Unknown, Uniform, 1}}
}

// authOmitted are rows whose time does not depend on the number of keys, and
// takes long.
var authOmitted = []Omission{
	{regexp.MustCompile(`^auth/(100000|1000000)/.*(eddsa|jwtauth)`), "a signature is checked without looking anything up: HS256 by golang-jwt stands for those of more keys"},
}

func limitLoads(size int) []Load {
	switch size {
	case 1:
		return []Load{{Accepted, Hot, 1}, {Accepted, Hot, 2}, {Limited, Hot, 1}}
	case 1_000_000:
		return []Load{{Accepted, Uniform, 1}, {Accepted, Zipf, 1}, {Accepted, Uniform, 2}}
	}
	return []Load{{Accepted, Uniform, 1}}
}

// besideBare sets what is measured of a database beside its bare select: the
// subject of the same database that comes first.
func besideBare(r Row) Row {
	database, _, _ := strings.Cut(r.Subject, ",")
	for _, s := range Databases() {
		if strings.HasPrefix(s.Name, database) {
			r.Subject = s.Name
			break
		}
	}
	return r
}
