// Package secretwatch fails a test binary that lets a secret out. It is for
// the TestMain of every package with tests:
//
//	func TestMain(m *testing.M) { secretwatch.Main(m) }
//
// Standard output and standard error, with what log and slog write there, are
// kept on their way out; events, errors and HTTP answers are handed over by
// the tests' helpers ([Event], [Error], [Response], [Recorder], [Text]). When
// the tests are over, all of it is searched for
//
//   - 19 characters in a row of a secret that was drawn in this process, known
//     by listening to crypto/rand;
//   - any text that is a token: a prefix, a body and the right checksum;
//   - what tests gave to [Add] and [Record], and its SHA-256 and SHA-512;
//   - anything that has the shape of such a digest, whoever made it;
//
// as they are, quoted, in hex, in base64 or as a list of bytes. Code under
// test knows nothing of this.
//
// Public are key IDs of up to 15 characters, and what tests give to [Public].
// A longer ID and the name of a node are drawn as secrets are: a test that
// lets one out says that it is public. Not seen are the text of a panic that
// ends the process, which fails the run anyhow, what an Example writes to
// standard output, which its Output comment holds to be the same each time,
// and workers of a fuzzing run.
package secretwatch
