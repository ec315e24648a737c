//go:build linux

package faulttest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// server is a database server of one test, in a directory of its own.
type server struct {
	tb      testing.TB
	dialect sqlstore.Dialect
	dir     string
	addr    string
	argv    []string
	as      *syscall.Credential // nil: who runs the test
	cmd     *exec.Cmd
	exited  chan struct{} // closed when cmd's process has ended
}

// servers are the dialects that have a server.
var servers = []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.MySQL}

// eachServer runs a subtest for each dialect that has a server, beside one another.
func eachServer(t *testing.T, f func(t *testing.T, d sqlstore.Dialect)) {
	t.Helper()
	for _, d := range servers {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			f(t, d)
		})
	}
}

// binaries are the paths of what makes and runs a server. Without them the test
// is skipped, unless APIKEY_REQUIRE names the database.
func binaries(tb testing.TB, d sqlstore.Dialect) (initialise, serve string) {
	tb.Helper()
	name, names := "postgres", [2]string{"initdb", "postgres"}
	if d == sqlstore.MySQL {
		name, names = "mariadb", [2]string{"mariadb-install-db", "mariadbd"}
	}
	dirs := append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin")
	newest, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Reverse(newest)
	dirs = append(newest, dirs...)
	var found [2]string
	for i, name := range names {
		for _, dir := range dirs {
			if path := filepath.Join(dir, name); executable(path) {
				found[i] = path
				break
			}
		}
	}
	switch {
	case found[0] != "" && found[1] != "":
	case slices.Contains(strings.Split(os.Getenv("APIKEY_REQUIRE"), ","), name):
		tb.Fatalf("APIKEY_REQUIRE names %s, and its binaries %v are not there", name, names)
	default:
		tb.Skipf("no binaries %v of %s", names, name)
	}
	return found[0], found[1]
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// newServer makes a server in dir and starts it; "": in a temporary directory.
// At the end of the test it is killed and its directory removed.
func newServer(tb testing.TB, d sqlstore.Dialect, dir string) *server {
	tb.Helper()
	initialise, serve := binaries(tb, d)
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "apikey-fault-"); err != nil { //nolint:usetesting // another user must reach it
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	s := &server{tb: tb, dialect: d, dir: dir, addr: freeAddress(tb)}
	data := filepath.Join(dir, "data")
	_, port, _ := net.SplitHostPort(s.addr)
	if d == sqlstore.PostgreSQL {
		s.as = s.other("postgres")
		s.run(initialise, "-D", data, "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--wal-segsize=1")
		s.argv = []string{
			serve, "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
			"-c", "shared_buffers=8MB", "-c", "max_connections=120", "-c", "min_wal_size=2MB", "-c", "max_wal_size=8MB",
		}
	} else {
		s.as = s.other("mysql")
		tmp := "--tmpdir=" + dir // a server that starts removes the temporary tables of all others in the same
		s.run(initialise, "--no-defaults", tmp, "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=4M")
		s.argv = []string{
			serve, "--no-defaults", tmp, "--datadir=" + data, "--port=" + port, "--bind-address=127.0.0.1", "--socket=" + filepath.Join(dir, "sock"),
			"--pid-file=" + filepath.Join(dir, "pid"), "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M",
			"--performance-schema=OFF", "--skip-log-bin", "--skip-name-resolve",
		}
	}
	tb.Cleanup(s.kill)
	s.start()
	s.waitReady()
	return s
}

// of is the same server for a part of the test.
func (s *server) of(tb testing.TB) *server {
	part := *s
	part.tb = tb
	return &part
}

// other is whom the server runs as in place of root, which it refuses.
func (s *server) other(name string) *syscall.Credential {
	s.tb.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		s.tb.Skipf("%v does not run as root, and there is no user %s", s.dialect, name)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(s.dir, uid, gid); err != nil {
		s.tb.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// run runs a command as the server's user, to its end.
func (s *server) run(argv ...string) {
	s.tb.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.tb.Fatalf("%s: %v\n%s", argv[0], err, out)
	}
}

// start starts the server. It ends with the test's process, however that ends.
func (s *server) start() {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(s.argv[0], s.argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGKILL}
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // Pdeathsig is of the thread
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		s.tb.Fatal(err)
	}
	s.cmd, s.exited = cmd, exited
}

// processes are the server and its children.
func (s *server) processes() []int {
	pid := s.cmd.Process.Pid
	all := []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}

func (s *server) signal(sig syscall.Signal) {
	for _, pid := range s.processes() {
		_ = syscall.Kill(pid, sig)
	}
}

// kill is kill -9 of all of the server, and waits for its end.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = syscall.Kill(s.cmd.Process.Pid, syscall.SIGSTOP) // so that it makes no more children
	all := s.processes()
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.exited
	for _, pid := range all {
		for end := time.Now().Add(10 * time.Second); running(pid) && time.Now().Before(end); {
			wait(time.Millisecond)
		}
	}
	s.cmd = nil
}

// running reports whether a process holds anything yet: one that has ended does
// not, also where its parent takes a second to hear of it.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// waitReady waits until the server answers, starting it again if it gave up.
func (s *server) waitReady() {
	s.tb.Helper()
	db := s.admin()
	defer func() { _ = db.Close() }()
	var err error
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); wait(5 * time.Millisecond) {
		select {
		case <-s.exited:
			s.start()
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err = db.PingContext(ctx)
		cancel()
		if err == nil {
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	s.tb.Fatalf("no answer of %v for 60 s: %v\n%s", s.dialect, err, log[max(0, len(log)-4000):])
}

// admin is a pool of the server's own administrator that keeps no connections.
func (s *server) admin() *sql.DB {
	db, err := sql.Open(driverOf(s.dialect), s.dsn(s.addr, "", "root"))
	if err != nil {
		s.tb.Fatal(err)
	}
	db.SetMaxIdleConns(0)
	return db
}

// idleInTransaction is how long a server waits for the next statement of a
// transaction. The docs say how to set it, to a longer time.
const idleInTransaction = 3 * time.Second

// dsn is of a database at addr, the server's or a proxy's. "" is what the server has at first.
func (s *server) dsn(addr, name, role string) string {
	if s.dialect == sqlstore.MySQL {
		return role + "@tcp(" + addr + ")/" + name + fmt.Sprintf("?innodb_lock_wait_timeout=%[1]d&idle_transaction_timeout=%[1]d", idleInTransaction/time.Second)
	}
	values := url.Values{"sslmode": {"disable"}, "idle_in_transaction_session_timeout": {fmt.Sprint(idleInTransaction.Milliseconds())}}
	if name != "" {
		values.Set("search_path", name)
	}
	return "postgres://postgres@" + addr + "/postgres?" + values.Encode()
}

// create makes an empty database.
func (s *server) create(name string) {
	s.tb.Helper()
	db := s.admin()
	defer func() { _ = db.Close() }()
	statements := []string{"CREATE SCHEMA " + name}
	if s.dialect == sqlstore.MySQL {
		statements = []string{
			"CREATE DATABASE " + name, "CREATE USER IF NOT EXISTS host@127.0.0.1", "GRANT ALL ON " + name + ".* TO host@127.0.0.1",
		}
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			s.tb.Fatal(err)
		}
	}
}

// open is a pool of connections to a database as a host has one, by addr.
func (s *server) open(addr, name string) *sql.DB {
	s.tb.Helper()
	db, err := sql.Open(driverOf(s.dialect), s.dsn(addr, name, "host"))
	if err != nil {
		s.tb.Fatal(err)
	}
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	s.tb.Cleanup(func() { _ = db.Close() })
	return db
}

// store is a Store in an empty database, and the pool that it uses.
func (s *server) store(name string) (*sqlstore.Store, *sql.DB) {
	s.tb.Helper()
	s.create(name)
	db := s.open(s.addr, name)
	return sqltest.StoreIn(s.tb, db, s.dialect, nil), db
}

func driverOf(d sqlstore.Dialect) string {
	return map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "pgx", sqlstore.MySQL: "mysql", sqlstore.SQLite: "sqlite"}[d]
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// tmpfs is a small file system of the test's own; it skips the test where it
// may not mount one.
func tmpfs(tb testing.TB, size string) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "apikey-full-") //nolint:usetesting // another user must reach it
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.Remove(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		tb.Skipf("no file system of %s may be mounted: %v", size, err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// fill writes a file until the disk is full.
func fill(tb testing.TB, file string) {
	tb.Helper()
	f, err := os.Create(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 16; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			tb.Fatal(err)
		}
	}
}
