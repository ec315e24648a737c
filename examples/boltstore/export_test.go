package boltstore

// SkipSync makes a test faster that does not end in a crash.
func (s *Store) SkipSync() { s.db.NoSync = true }
