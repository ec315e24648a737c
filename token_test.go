package apikey

import "testing"

// GitHub published how its tokens end in a CRC-32, and this one as an example.
func TestChecksumAgreesWithGitHub(t *testing.T) {
	const published = "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"
	body, want := published[4:34], published[34:]
	if got := checksum(body); got != want {
		t.Errorf("checksum(%q) = %q, want %q", body, got, want)
	}
}
