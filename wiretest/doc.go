// Package wiretest sends guarded handlers what no well-behaved client sends:
// raw bytes over HTTP/1.1 and raw frames over HTTP/2, to a real server of
// net/http. It has tests only, in a module of their own, because they need
// golang.org/x/net/http2 and the library must not.
//
// The subtests of TestBadInputs read as the table of bad inputs: one for each
// row, in it one for each input of the row, in that one for each protocol.
package wiretest
