// Package faulttest has the tests of what sqlstore does when databases,
// connections and processes fail. They start servers of their own, from
// installed binaries in temporary directories. With APIKEY_LONG=1 the counts are
// high enough to mean something. They need Linux.
package faulttest
