package leak

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
)

// The headers of a signed report.
const (
	headerKeyID     = "Github-Public-Key-Identifier"
	headerSignature = "Github-Public-Key-Signature"
)

// maxHeader bounds both: an identifier is 64 hexadecimal digits, and a
// signature of P-256 at most 72 bytes of DER, 96 of base64.
const maxHeader = 128

// signedBody reads the body of r if GitHub signed it: ECDSA on P-256 over the
// SHA-256 of the bytes as they came.
func (h *Handler) signedBody(ctx context.Context, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	keyID, ok := only(r.Header, headerKeyID)
	encoded, ok2 := only(r.Header, headerSignature)
	if !ok || !ok2 {
		return nil, ErrUnsigned
	}
	// Strict: else the unused bits at the end could be anything.
	signature, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, ErrSignature
	}
	key, err := h.signers(ctx, keyID) // before the body: strangers make us read nothing
	switch {
	case err != nil:
		return nil, err
	case key == nil || key.Curve != elliptic.P256():
		return nil, errors.New("apikey: the KeyFunc gave no key on the curve P-256")
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	if !ecdsa.VerifyASN1(key, sum[:], signature) {
		return nil, ErrSignature
	}
	return body, nil
}

// only is the value of a header that is there once.
func only(h http.Header, name string) (string, bool) {
	values := h.Values(name)
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxHeader {
		return "", false
	}
	return values[0], true
}
