package apikey_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// oldKey is a key as another system has it, in the words of this package.
type oldKey struct {
	id      string // of its row
	owner   string
	stopped bool // there it does not work now, but may again
	params  apikey.ImportParams
}

// bring imports the keys that are not there yet, and says of which rows it
// could not and why.
func bring(ctx context.Context, keys *apikey.Manager, old []oldKey) (imported int, refused map[string]error) {
	refused = make(map[string]error)
	for _, k := range old {
		k.params.Metadata = map[string]string{"old_id": k.id} // nobody but operators sees it
		_, err := keys.Keyring(k.owner, apikey.Operator("migration")).Import(ctx, k.params)
		switch {
		case err == nil:
			imported++
		case !errors.Is(err, apikey.ErrExists): // else an earlier run brought it
			refused[k.id] = err
		}
	}
	return imported, refused
}

// words are the permissions of this service for what the old one called
// otherwise. Of the rest only the dots are other.
var words = map[string]apikey.Permission{"Read Reports": "reports:read"}

func permissions(abilities []string) apikey.Permissions {
	var ps apikey.Permissions
	for _, a := range abilities {
		ps = append(ps, cmp.Or(words[a], apikey.Permission(strings.ReplaceAll(a, ".", ":"))))
	}
	return ps
}

// A table of SHA-256 in hex, which most services have written for themselves.
func ExampleScheme() {
	migrate("sha256.csv", tableConfig, fromTable)
	// Output:
	// 5 imported
	// again: 0 imported
	// 1: acct_42, calls:*
	// 2: revoked
	// 3: acct_7, calls:*
	// 4: acct_7, calls:*
	// 5: acct_9, calls:*
}

var tableConfig = &apikey.Config{
	Formats: []apikey.Format{{Prefix: "rg_live_"}},                             // of new and of rotated tokens
	Schemes: []apikey.Scheme{{Name: "fm", Prefix: "fm_live_", MinLen: 8 + 32}}, // of those that are out there
}

func fromTable(r *oldRow) oldKey {
	return oldKey{id: r.text("id"), owner: r.text("user_id"), params: apikey.ImportParams{
		KeyParams: apikey.KeyParams{
			Name:        cmp.Or(r.text("name"), "unnamed"),
			Permissions: apikey.Permissions{"calls:*"}, // none unless some are given
		},
		Scheme:     "fm",
		Digest:     r.digest("key_hash"),
		CreatedAt:  r.time(postgres, "created_at"),
		LastUsedAt: r.time(postgres, "last_used_at"),
		RevokedAt:  r.time(postgres, "revoked_at"),
	}}
}

// Laravel Sanctum's table personal_access_tokens.
func ExampleScheme_sanctum() {
	migrate("sanctum.csv", sanctumConfig, fromSanctum)
	// Output:
	// 5 imported
	// again: 0 imported
	// 17: user_42, *
	// 18: user_42, server:update servers:read
	// 21: expired
	// 104: team_7, orders:create reports:read
	// 105: team_9, nothing
}

var sanctumConfig = &apikey.Config{
	Formats: []apikey.Format{{Prefix: "rg_live_"}},
	Schemes: []apikey.Scheme{{
		Name:         "sanctum",
		Separator:    '|', // 42|secret
		Number:       true,
		HashesSecret: true, // of the part behind the '|' alone
		MinLen:       1 + 1 + 40,
		MaxLen:       19 + 1 + 5 + 48, // with a token_prefix of 5, and the checksum that newer versions append
	}},
}

func fromSanctum(r *oldRow) oldKey {
	owners := map[string]string{`App\Models\User`: "user_", `App\Models\Team`: "team_"}
	var abilities []string
	r.json("abilities", &abilities)
	return oldKey{id: r.text("id"), owner: r.oneOf("tokenable_type", owners) + r.text("tokenable_id"), params: apikey.ImportParams{
		KeyParams: apikey.KeyParams{
			Name:        r.text("name"),
			Permissions: permissions(abilities),
			ExpiresAt:   r.time(time.DateTime, "expires_at"),
		},
		Scheme:     "sanctum",
		Locator:    r.text("id"),
		Digest:     r.digest("token"),
		CreatedAt:  r.time(time.DateTime, "created_at"),
		LastUsedAt: r.time(time.DateTime, "last_used_at"),
	}}
}

// The table of djangorestframework-api-key 3, with rows that version 2 made.
func ExampleScheme_django() {
	migrate("drf.csv", drfConfig, fromDRF)
	// Output:
	// 6 imported
	// again: 0 imported
	// 4Dlacvs2: partners, stock:read
	// FAldbAob: revoked
	// V07pHXe4: expired
	// v8O4fENP: partners, stock:read
	// VbbSQ9j2: partners, stock:read
	// 1mvA5OgF: partners, stock:read
}

var drfConfig = &apikey.Config{
	Formats: []apikey.Format{{Prefix: "rg_live_"}},
	Schemes: []apikey.Scheme{{
		Name:       "drf",
		Separator:  '.', // prefix.secret
		MinLen:     8 + 1 + 32,
		Slow:       true, // version 2 made PBKDF2
		SecretBits: 190,  // 32 random letters and digits: a fast digest may take its place
	}},
	FailedAttempts: apikey.PerMinute(60),
	HTTP:           apikey.HTTPConfig{Sources: []apikey.Source{apikey.Bearer(), apikey.Authorization("Api-Key")}},
}

func fromDRF(r *oldRow) oldKey {
	k := oldKey{id: r.text("prefix"), owner: "partners", params: apikey.ImportParams{ // who share all data; a subclass of AbstractAPIKey may have owners
		KeyParams: apikey.KeyParams{
			Name:        r.text("name"),
			Permissions: apikey.Permissions{"stock:read"},
			ExpiresAt:   r.time(postgres, "expiry_date"),
		},
		Scheme:    "drf",
		Locator:   r.text("prefix"),
		Digest:    r.digest("hashed_key"), // not the one in id, which is that of the first day
		CreatedAt: r.time(postgres, "created"),
	}}
	if r.text("revoked") == "t" {
		k.params.RevokedAt = k.params.CreatedAt // when is not known
	}
	return k
}

// Unkey's table of keys, by the query that stands beside the fixture.
func ExampleScheme_unkey() {
	migrate("unkey.csv", unkeyConfig, fromUnkey)
	// Output:
	// key_4uZk3KmQZz6xBtku: not used since it was brought to Unkey
	// 7 imported
	// again: 0 imported
	// key_Mc3Ag2eih9XvYJi7: user_5678, documents:read documents:write
	// key_5c1yu5MqrEwTECqp: user_5678, documents:read
	// key_4dB3NsDxwutP7KzB: expired
	// key_4GC5GtaXVWFzWq1J: held
	// key_3yqFDUYyVU2r9egN: revoked
	// key_3TqvuWBAPYxSxdBB: held
	// key_BnXZtZmXoup2Qcrj: key_BnXZtZmXoup2Qcrj, *
	// key_4uZk3KmQZz6xBtku: invalid
}

var unkeyConfig = &apikey.Config{
	Formats: []apikey.Format{{Prefix: "rg_live_", Environment: "live"}, {Prefix: "rg_test_", Environment: "test"}},
	Schemes: []apikey.Scheme{ // one for each prefix, and 20 to 22 of base58
		{Name: "unkey_live", Prefix: "sk_live_", Environment: "live", MinLen: 8 + 20, MaxLen: 8 + 22},
		{Name: "unkey_test", Prefix: "sk_test_", Environment: "test", MinLen: 8 + 20, MaxLen: 8 + 22},
		{Name: "unkey", Environment: "live", MinLen: 20, MaxLen: 22}, // keys that were made without one
	},
}

func fromUnkey(r *oldRow) oldKey {
	if r.text("for_workspace_id") != "" {
		r.refuse("a root key of Unkey's own API")
	}
	if r.text("pending_migration_id") != "" {
		r.refuse("not used since it was brought to Unkey") // what is stored has another form till then
	}
	var slugs []string
	r.json("permissions", &slugs)
	scheme := "unkey"
	for _, s := range unkeyConfig.Schemes {
		if s.Prefix != "" && strings.HasPrefix(r.text("start"), s.Prefix) {
			scheme = s.Name
		}
	}
	return oldKey{
		id:      r.text("id"),
		owner:   cmp.Or(r.text("external_id"), r.text("id")), // a key of nobody's is an owner of its own
		stopped: r.text("enabled") == "0" || r.text("remaining_requests") == "0",
		params: apikey.ImportParams{
			KeyParams: apikey.KeyParams{
				Name:        cmp.Or(r.text("name"), "unnamed"),
				Permissions: permissions(slugs),
				ExpiresAt:   r.time(time.DateTime, "expires"), // it takes the fraction of a second, too
				Limits:      unkeyLimits(r),
			},
			Scheme:     scheme,
			Digest:     r.digest("hash"),
			CreatedAt:  r.millis("created_at_m"),
			LastUsedAt: r.millis("last_used_at"),
			RevokedAt:  r.millis("deleted_at_m"),
		},
	}
}

// unkeyLimits are those that hold without being asked for.
func unkeyLimits(r *oldRow) (limits []apikey.LimitOverride) {
	var rows []struct {
		Name      string
		Limit     int
		Duration  int64 // milliseconds
		AutoApply int   `json:"auto_apply"`
	}
	r.json("ratelimits", &rows)
	for _, l := range rows {
		if l.AutoApply != 0 {
			limits = append(limits, apikey.LimitOverride{Limit: apikey.Limit{
				Name: l.Name, N: l.Limit, Per: time.Duration(l.Duration) * time.Millisecond,
			}})
		}
	}
	return limits
}

// What Unkey's API gives has no digests; of keys that are recoverable it has
// the tokens.
func ExampleKeyring_Import_token() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), unkeyConfig)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)

	var answer struct {
		Data []struct {
			KeyID, Name, Plaintext string
			Permissions            []string
			Identity               struct{ ExternalID string }
			Enabled                bool
			CreatedAt, Expires     int64 // milliseconds
		}
	}
	readJSON("unkey.json", &answer)
	var old []oldKey
	for _, k := range answer.Data {
		if k.Plaintext == "" {
			continue // only its holder has the token, and only its row the digest
		}
		p := apikey.ImportParams{Token: k.Plaintext, CreatedAt: time.UnixMilli(k.CreatedAt)}
		p.Name, p.Permissions = cmp.Or(k.Name, "unnamed"), permissions(k.Permissions)
		if k.Expires != 0 {
			p.ExpiresAt = time.UnixMilli(k.Expires)
		}
		old = append(old, oldKey{id: k.KeyID, owner: cmp.Or(k.Identity.ExternalID, k.KeyID), stopped: !k.Enabled, params: p})
	}
	imported, refused := bring(ctx, keys, old)
	fmt.Println(imported, "imported")
	fmt.Println(len(refused), "refused")
	// Output:
	// 2 imported
	// 0 refused
}

// migrate imports a table, lets keys be what they are there, and presents
// every token.
func migrate(file string, cfg *apikey.Config, from func(*oldRow) oldKey) {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), cfg)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	old, unread := readOld(file, from)
	for _, err := range unread {
		fmt.Println(err)
	}
	for _, again := range []string{"", "again: "} {
		imported, refused := bring(ctx, keys, old)
		for id, err := range refused {
			fmt.Println(id, err)
		}
		fmt.Printf("%s%d imported\n", again, imported)
	}
	if err := follow(ctx, keys, old); err != nil {
		panic(err)
	}
	for _, t := range readTokens(file) {
		caller, _, err := keys.Verify(ctx, apikey.Request{Token: t.token})
		var denial *apikey.Denial
		switch {
		case err == nil:
			key, err := keys.Keyring(caller.Owner(), apikey.Operator("migration")).Get(ctx, caller.KeyID())
			if err != nil {
				panic(err)
			}
			fmt.Printf("%s: %s, %s\n", t.id, key.Owner, cmp.Or(strings.Trim(fmt.Sprint(key.Permissions), "[]"), "nothing"))
		case errors.As(err, &denial):
			fmt.Printf("%s: %s\n", t.id, denial.Reason)
		default:
			panic(err)
		}
	}
}
