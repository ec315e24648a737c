// Package keycache is an [apikey.Store] in front of another: what was read of a
// key serves verification for a few seconds, from memory.
//
//	cache, err := keycache.New(store, nil)
//	keys, err := apikey.New(cache, nil)
//
// # How stale
//
// A record admits nobody once Config.MaxStale has passed since its read began:
// 5 seconds if nothing else is set. That holds whatever else fails, because
// time alone keeps it. Time is the wall clock or the monotonic one, whichever
// has come further, so that a suspended machine and a clock that was set do not
// lengthen it; a record read later than the clock shows is too old. (A machine
// that sleeps, and whose clock is set back by just as much before it goes on,
// goes unnoticed.)
//
// What is written through the cache, or through the Store that its Unwrap
// gives, which is what a Keyring writes through, is forgotten before the write
// returns: on the node that revokes a key, it is refused at once. If the Store
// is an [apikey.Watcher], the other nodes follow as soon as it tells them.
// A host that writes in a transaction of its own calls [Store.Forget] after
// the commit.
//
// # What reaches the store
//
// One query for each key and MaxStale, however many requests wait for it. That
// a key does not exist is never cached. So that a flood of made-up IDs is the
// cache's trouble and not the database's, at most Config.UnknownLookups IDs and
// aliases that the cache does not know are looked up at once; 32 times as many
// wait for their turn, and beyond that the answer is [ErrBusy], to clients a
// 503. Keys that the cache knows wait for nobody: those that it read before,
// for as long as it has room to remember them, however old and also if they
// were forgotten since.
//
// A query goes on when who asked for it first is gone, for the others. So it
// carries neither the deadline nor the values of anybody's context.
//
// # What passes through
//
// [Store] has none of the abilities a Store may have besides, as only
// verification calls it. What its Unwrap gives passes on Usage and History.
package keycache
