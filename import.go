package apikey

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// ImportParams is a key that was issued elsewhere: in one of Config.Formats, or
// in one of Config.Schemes. Its token is given, or what is stored of it:
//
//	native:  Token; or Prefix, ID and Digest
//	foreign: Token; or Scheme, Locator and Digest; or, of an opaque one, Scheme and Digest
type ImportParams struct {
	KeyParams            // Prefix is needed with a native Digest only; Environment follows from the format or scheme, and must be its if set
	Token      string    // the whole token
	ID         string    // the ID in a native token
	Scheme     string    // the name of the Scheme of a foreign one; beside a Token: it must be of this one
	Locator    string    // what stands in a foreign token to find its key by: the "42" of "42|secret"
	Digest     Digest    // what is stored of the token: see [ParseDigest]. Of a native one it is SHA-256
	CreatedAt  time.Time // zero: now
	RevokedAt  time.Time // zero: it is not revoked, as for those below
	DisabledAt time.Time
	HeldAt     time.Time
	LastUsedAt time.Time // of its one secret
	Requests   int64     // how often it was used so far
}

// Import takes a key that was issued elsewhere; only an operator can. A native
// one keeps its ID; one of a [Scheme] gets a new one, and its old token works
// until the key is rotated, which makes it a native one. Imported keys hold no
// permissions unless some are given.
//
// Its past use is counted with the next flush. Errors are those of Create, and
// [ErrExists] for a key that is there or was, so that a table can be imported
// again. If Close was faster, the key is there and its past use is not: the key
// comes with a [*UsageLostError].
func (r *Keyring) Import(ctx context.Context, p ImportParams) (*Key, error) {
	if err := r.beginAsOperator(ctx, "imports keys"); err != nil {
		return nil, err
	}
	now := r.m.nowMicro()
	var f faults
	in := r.m.importToken(&f, &p)
	if in != nil && p.Environment != "" && p.Environment != in.environment {
		f.add("Environment", "must be empty or that of the token's format or scheme")
	}
	key := p.key(r, &f, now, time.Time{}) // an expired key may be imported
	p.times(key, now, &f)
	if err := f.err(); err != nil {
		return nil, err
	}
	key.ID, key.Alias, key.Environment = in.id, in.alias, in.environment
	in.secret.N, in.secret.CreatedAt = 1, key.CreatedAt
	key.Secrets = []Secret{in.secret}
	quota := NoCap
	if key.Live(now) {
		var err error
		if quota, err = r.quota(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.insertImported(ctx, key, in, now, quota); err != nil {
		return nil, err
	}
	if !r.m.usage.add(key.ID, p.Requests, micro(p.LastUsedAt), now) {
		return key, &UsageLostError{Requests: p.Requests, Err: ErrClosed}
	}
	return key, nil
}

// insertImported stores a key. One with an alias gets an ID, another if the
// first is taken by chance.
func (r *Keyring) insertImported(ctx context.Context, key *Key, in *imported, now time.Time, quota int) error {
	if key.Alias == "" {
		return r.insert(ctx, key, in.digest, "import", now, quota)
	}
	for range createTries {
		key.ID = randomBase62(in.idLen)
		err := r.insert(ctx, key, in.digest, "import", now, quota)
		if !errors.Is(err, ErrExists) {
			return err
		}
		// The ID or the alias: of a key that is there or, where Get finds none,
		// was. An ID is taken by chance only where IDs are short.
		if in.idLen >= 10 {
			return ErrExists
		}
		if _, err := r.m.get(ctx, key.Alias); !errors.Is(err, ErrNotFound) {
			return cmp.Or(err, ErrExists)
		}
	}
	return ErrExists
}

// imported is what an ImportParams says of its token.
type imported struct {
	environment string
	id          string // native
	alias       string // foreign
	idLen       int    // foreign: of the ID to be
	secret      Secret
	digest      Digest
}

// importToken reads the token of p, or what p has of it; nil, with what is
// wrong in f.
func (m *Manager) importToken(f *faults, p *ImportParams) *imported {
	byParts := p.ID != "" || p.Locator != "" || !p.Digest.IsZero()
	switch {
	case p.Token != "" && byParts:
		f.add("Token", "must not be given together with ID, Locator or Digest")
	case p.Token != "":
		return m.importWhole(f, p)
	case p.Scheme != "":
		return m.importForeign(f, p)
	default:
		return m.importNative(f, p)
	}
	return nil
}

// importWhole reads p.Token.
func (m *Manager) importWhole(f *faults, p *ImportParams) *imported {
	for i := range m.formats {
		format := &m.formats[i]
		id, ok := format.parse(p.Token)
		switch {
		case !ok || p.Prefix != "" && p.Prefix != format.Prefix:
			continue
		case p.Scheme != "":
			f.add("Token", "reads as one of Config.Formats, checksum and all, so it would never be taken for one of its Scheme")
			return nil
		}
		return &imported{environment: format.Environment, id: id, secret: Secret{Prefix: format.Prefix}, digest: m.hasher.digest(p.Token)}
	}
	t, err := m.foreign(p.Token)
	switch {
	case err != nil || t == nil || p.Scheme != "" && p.Scheme != t.scheme.Name:
		f.add("Token", "must be of one of Config.Formats, checksum and all, or of its Scheme in Config.Schemes")
		return nil
	case (t.scheme.Slow || t.scheme.HMAC.key != nil) && t.scheme.SecretBits < enoughBits && m.hasher.newest == 0:
		f.add("Token", "may be guessed from a bare SHA-256: give its Digest, or set SecretBits in its Scheme, or Config.Peppers")
		return nil
	}
	in := m.importedBy(f, p, t.scheme)
	in.alias, in.digest = t.alias, m.hasher.digest(p.Token)
	return in
}

// importNative reads Prefix, ID and Digest.
func (m *Manager) importNative(f *faults, p *ImportParams) *imported {
	for i := range m.formats {
		format := &m.formats[i]
		if format.Prefix != p.Prefix {
			continue
		}
		if len(p.ID) != format.IDLen || !isBase62(p.ID) {
			f.add("ID", "must be %d base62 characters, as its format has", format.IDLen)
		}
		if p.Digest.kind != kindSHA256 && p.Digest.kind != kindHMAC {
			f.add("Digest", "must be SHA-256 of the whole token, and given where the Token is not")
		}
		if p.Locator != "" {
			f.add("Locator", "is of tokens of a Scheme")
		}
		return &imported{environment: format.Environment, id: p.ID, secret: Secret{Prefix: format.Prefix}, digest: p.Digest}
	}
	f.add("Prefix", "must be that of one of Config.Formats, where neither Token nor Scheme is given")
	return nil
}

// importForeign reads Scheme, Locator and Digest.
func (m *Manager) importForeign(f *faults, p *ImportParams) *imported {
	for i := range m.schemes {
		s := &m.schemes[i]
		if s.Name != p.Scheme {
			continue
		}
		in := m.importedBy(f, p, s)
		digest, wrong := s.schemeDigest(p.Digest)
		if wrong != "" {
			f.add("Digest", "%s", wrong)
			return in
		}
		in.digest = digest
		locator := p.Locator
		switch {
		case !s.opaque() && !s.isLocator(locator):
			f.add("Locator", "must be what stands in the token, in its one spelling")
		case s.opaque() && locator != "":
			f.add("Locator", "must be empty: the tokens of this Scheme are opaque")
		case s.opaque():
			locator = opaqueLocator([]byte(digest.sum()))
		}
		in.alias = s.alias(locator)
		return in
	}
	f.add("Scheme", "must be the Name of one of Config.Schemes")
	return nil
}

// importedBy is a token of s, but for its alias and digest.
func (m *Manager) importedBy(f *faults, p *ImportParams, s *Scheme) *imported {
	if p.Prefix != "" || p.ID != "" {
		f.add("Prefix", "and ID are of native tokens; a key of a Scheme gets a new ID")
	}
	in := &imported{environment: s.Environment, secret: Secret{Prefix: s.Prefix, Scheme: s.Name}}
	for i := range m.formats { // New saw to it that there is one
		g := &m.formats[i]
		if g.NoIssue || g.Environment != s.Environment {
			continue
		}
		if in.idLen == 0 || g.Prefix == s.Prefix { // a shared shape goes on when the key is rotated
			in.idLen = g.IDLen
		}
	}
	return in
}

// times sets an imported key's past. Its expiry may be past too.
func (p *ImportParams) times(k *Key, now time.Time, f *faults) {
	k.RevokedAt, k.DisabledAt, k.HeldAt = micro(p.RevokedAt), micro(p.DisabledAt), micro(p.HeldAt)
	if !p.CreatedAt.IsZero() {
		k.CreatedAt = micro(p.CreatedAt)
	}
	for _, t := range []struct {
		field string
		t     time.Time
	}{{"CreatedAt", k.CreatedAt}, {"RevokedAt", k.RevokedAt}, {"DisabledAt", k.DisabledAt}, {"HeldAt", k.HeldAt}, {"LastUsedAt", micro(p.LastUsedAt)}} {
		if !validTime(t.t) || t.t.After(now) {
			f.add(t.field, "must be past, after 1970")
		}
	}
	if p.Requests < 0 {
		f.add("Requests", "must be 0 or more")
	}
}
