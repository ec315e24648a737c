package sqlstore

import "time"

// SetScan sets how many keys a List with filters looks at in one call.
func (s *Store) SetScan(n int) { s.scan = int64(n) }

// SetBusyWait sets how long a write waits for another process, on SQLite.
func (s *Store) SetBusyWait(d time.Duration) { s.wait = d }

// Again reports whether a transaction that failed with err is begun anew.
func Again(d Dialect, err error) bool { return d.again(err) || lostConnection(err) }

// Tables are what a Store keeps things in, without their prefix.
var Tables = tableNames[1:] // the first is the schema's version
