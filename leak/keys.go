package leak

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// KeyFunc is the public key, on the curve P-256, that has this identifier. If
// there is none it returns [ErrUnknownKey]; any other error means that it
// cannot tell now, and the report is answered 503. It is called concurrently,
// by requests of strangers too: it must not do much for an unknown identifier.
type KeyFunc func(ctx context.Context, keyID string) (*ecdsa.PublicKey, error)

// PublicKeysURL is where GitHub publishes the keys that it signs reports with.
const PublicKeysURL = "https://api.github.com/meta/public_keys/secret_scanning"

// KeysConfig says where [GitHubKeys] fetches them.
type KeysConfig struct {
	URL    string           // "": PublicKeysURL
	Client *http.Client     // nil: one that follows no redirect. GitHub allows 60 calls an hour without a credential, which is what a client may add
	Now    func() time.Time // nil: time.Now
}

const (
	refetchAfter = time.Minute      // the list is not fetched more often, whatever strangers ask for
	maxAge       = time.Hour        // after it the list is fetched again, so that a key that GitHub withdraws is forgotten
	fetchTimeout = 10 * time.Second // GitHub waits 30 s for the answer to a report
	maxKeysBody  = 1 << 20          // bytes of the list, which today has under 1,000
)

// GitHubKeys fetches GitHub's public keys when they are first asked for, and
// keeps them. It fetches them again for an identifier that it does not know and
// when they are an hour old, but at most once a minute. If that fails, the keys
// it has go on being good. A nil cfg is the zero KeysConfig.
func GitHubKeys(cfg *KeysConfig) KeyFunc {
	c := &keyCache{gate: make(chan struct{}, 1)}
	if cfg != nil {
		c.cfg = *cfg
	}
	if c.cfg.URL == "" {
		c.cfg.URL = PublicKeysURL
	}
	if c.cfg.Client == nil {
		c.cfg.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if c.cfg.Now == nil {
		c.cfg.Now = time.Now
	}
	return c.key
}

type keyCache struct {
	cfg  KeysConfig
	gate chan struct{} // held by who fetches

	mu      sync.Mutex
	keys    map[string]*ecdsa.PublicKey
	fetched time.Time // when keys came; zero: never
	tried   time.Time // when they were last asked for; zero: never
	err     error     // of that try
}

// key is a [KeyFunc].
func (c *keyCache) key(ctx context.Context, keyID string) (*ecdsa.PublicKey, error) {
	if key, fetch, err := c.cached(keyID); !fetch {
		return key, err
	}
	select {
	case c.gate <- struct{}{}:
		defer func() { <-c.gate }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if _, fetch, _ := c.cached(keyID); fetch { // nobody did while this one waited
		c.refresh(ctx)
	}
	key, _, err := c.cached(keyID)
	return key, err
}

// cached is what is known of keyID, and whether to fetch the list for it.
func (c *keyCache) cached(keyID string) (key *ecdsa.PublicKey, fetch bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	key = c.keys[keyID]
	may := c.tried.IsZero() || now.Sub(c.tried) >= refetchAfter
	switch {
	case key != nil:
		return key, may && now.Sub(c.fetched) >= maxAge, nil
	case c.err != nil:
		return nil, may, c.err
	}
	return nil, may, ErrUnknownKey
}

// refresh fetches the list. That the caller goes away does not end it: it would
// use up the minute.
func (c *keyCache) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	now := c.cfg.Now()
	keys, err := c.fetch(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried, c.err = now, err
	if err == nil {
		c.keys, c.fetched = keys, now
	}
}

func (c *keyCache) fetch(ctx context.Context) (map[string]*ecdsa.PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.URL, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("apikey: GitHub's public keys: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "go-apikey") // GitHub demands one
	resp, err := c.cfg.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("apikey: GitHub's public keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("apikey: GitHub's public keys: status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeysBody+1))
	if err != nil {
		return nil, fmt.Errorf("apikey: GitHub's public keys: %w", err)
	}
	if len(body) > maxKeysBody {
		return nil, fmt.Errorf("apikey: GitHub's public keys: more than %d bytes", maxKeysBody)
	}
	return parseKeys(body)
}

// parseKeys reads the list, and skips keys that are not on P-256: GitHub may
// have others one day.
func parseKeys(body []byte) (map[string]*ecdsa.PublicKey, error) {
	var list struct {
		PublicKeys []struct {
			ID  string `json:"key_identifier"`
			Key string `json:"key"`
		} `json:"public_keys"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("apikey: GitHub's public keys: %w", err)
	}
	keys := make(map[string]*ecdsa.PublicKey)
	for _, k := range list.PublicKeys {
		block, _ := pem.Decode([]byte(k.Key))
		if k.ID == "" || block == nil {
			continue
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			continue
		}
		if key, ok := parsed.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P256() {
			keys[k.ID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("apikey: GitHub's public keys: there is none on P-256 in the answer")
	}
	return keys, nil
}
