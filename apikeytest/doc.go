// Package apikeytest tests what package apikey is put together from.
//
// For those who write an adapter: [RunStore] holds a Store to every sentence
// of its contract that a test can see, and [RunLimiter] does the same for a
// Limiter. [FaultyStore] makes any Store fail where and how a test says.
//
// For services that use apikey: [NewManager] is a Manager that is ready, and
// [Token] a token of it, in one line each.
package apikeytest
