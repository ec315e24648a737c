// Package redislimit is an [apikey.Limiter] on Redis 6.2 or later, for a
// service on many nodes: each limit holds over all of them.
//
//	limiter, err := redislimit.New(redis.NewClient(&redis.Options{Addr: "redis:6379", DialerRetries: 1}), nil)
//	keys, err := apikey.New(store, &apikey.Config{Limiter: limiter})
//
// # Exact
//
// By default each request is decided in Redis, in one round trip, by one
// script that takes from all of the request's buckets or from none, by the
// clock of Redis. Requests that come together are sent together. Tokens are
// counted in millionths and times in microseconds, and roundings never give
// anything. On Redis Cluster the buckets of an owner and of its keys are in
// one slot. A bucket takes up to about 200 bytes, and expires when it is full: at
// the latest an eighth of its limit's Per later, or a second.
//
// # Leases
//
// With Config.Lease = K a node takes up to K tokens ahead from a bucket that is
// in use, beyond what its callers are waiting for, and decides the next
// requests by itself, without a round trip. Still no more is admitted, over
// all nodes and any span of time, than burst + rate × time: what is in a lease
// is taken, and counts against the bucket's capacity until it is spent, given
// back, or over. A node stops to use a lease before Redis counts it as over,
// by two clocks of its own, also when it was stopped meanwhile. What lies idle
// goes back after a quarter of Config.LeaseTime; a node that dies loses what
// it had in hand. A node takes no more than a quarter of what is there, so a
// bucket that is nearly empty is shared token by token. What could not be given
// back because Redis failed is not used any more, and is given back later.
//
// The price: Remaining and Reset of a Decision are what the node knew when it
// last asked, less what it spent itself; a changed limit holds on a node from
// the first request that brings it; a refusal by one bucket that takes longer
// than the lease of another may cost that one its tokens.
//
// # Failure
//
// A decision takes at most Config.Timeout. After three failures in a row Redis
// is asked once in 100 ms only, until it answers; all other requests are
// answered at once as Config.OnFailure says. Leases in hand are used to their
// end, but for those that were on their way back, and some that lie idle, by
// which the limiter tries whether Redis is back.
//
// What Redis forgets is full again: after FLUSHALL, after a restart without
// persistence, for what a replica that is promoted had not yet heard
// (replication is asynchronous), and for what is evicted where Redis has a
// maxmemory-policy other than noeviction. With noeviction a Redis that is full
// fails, and Config.OnFailure decides. A clock of Redis that is set forward gives the
// tokens of that time, and one that is set back gives none until it is where it
// was. A call that failed may have taken its tokens: who retries pays twice.
//
// # The client
//
// It is a *redis.Client, also one that Sentinel leads to the primary, or a
// *redis.ClusterClient, which a cluster of more than one master needs. A
// *redis.Client does for a single address that has all slots.
//
// Whatever the client's options, a decision ends within Config.Timeout. With
// these of go-redis its failures are noticed, and over, sooner:
//
//   - DialerRetries: 1. By default five connections are tried, 100 ms apart,
//     before Redis counts as not listening, so that each attempt to ask one that
//     is gone takes the whole Timeout. The limiter tries again by itself.
//   - DialTimeout: time.Second. By default a connection to a host that does not
//     answer at all is given up after 5 s. Decisions do not wait for that, but it
//     keeps one of PoolSize places.
//   - MaxRetries: -1, if a request that fails is better than one that may pay
//     twice: by default a call whose connection broke is repeated up to three
//     times, though Redis may have decided it.
//   - ReadTimeout and WriteTimeout of a *redis.Client need not be set: here they
//     are Config.Timeout. For a *redis.ClusterClient set ContextTimeoutEnabled,
//     or its connections hang for their ReadTimeout, by default 5 s.
//
// The servers of a cluster need cluster-require-full-coverage no, or the owners
// of all masters wait for one that is replaced.
//
// # What is in Redis
//
// A bucket's name is Prefix{owner}k:limit:keyID or Prefix{owner}o:limit, with
// %, {, } and : in an owner or limit written as in a URL. There is no token
// and no digest in names or values.
package redislimit
