// Package scantest runs the rules that docs/leaks.md hands to customers, just
// as its examples print them, through the scanners that they are for: those
// for gitleaks through gitleaks itself, those for trufflehog, which is too
// large to require, through what its documentation says of them.
// It has tests only, in a module of their own, because they need gitleaks and
// the library must not.
package scantest
