// Package apikey lets a service issue API keys, verify them on every request,
// and limit, rotate and revoke them.
//
// # What to call first
//
// [New] makes a [Manager] of a [Store]; one Manager serves the whole program,
// and [Manager.Close] ends it. [Manager.Keyring] is one owner's keys, and
// [Keyring.Create] issues one: its [Token] can be seen then and never again.
// [Manager.Require] and [Manager.Guard] wrap a handler, which finds its caller
// by [FromContext]. Where requests are not net/http's, [Manager.Verify] decides.
//
// # Words
//
// A [Key] is what people manage: an owner, a name, permissions, a state. Its
// tokens are what clients send, one or, while it is rotated, two. What is
// stored of a token is its [Digest], inside a [Record] that stores keep as they
// are. A [Principal] is what a handler sees. A request that is refused for what
// it is gets a [*Denial]; one over which nobody can decide now, an
// [*UnavailableError].
//
// # Threat model
//
// The package is made against who
//
//   - sends any request at all, without a token, or with a token of somebody
//     else's key, of a key that has ended, or of one that may do less;
//   - reads the database, its backups, or logs: there is no token in them, and
//     with a [Pepper] the database does not even confirm one;
//   - may manage keys and tries to reach another owner's, or to make one that
//     may do more than they may;
//   - guesses: a token has at least 112 random bits, and what differs between
//     an unknown key and a wrong secret is not in the answer.
//
// It is not made against who can read the memory of the process, write to the
// Store or set the [Config]. A token is a bearer's: who has it is its holder,
// until it is revoked. Send it over TLS only; the package does not check that.
// How long an answer takes may tell whether the public ID in a token is one of
// a key; it tells nothing of the secret.
//
// # Promises
//
//   - A verification that starts after a revoke, disable or loss of permission
//     was acknowledged fails, on a Store as its contract asks for. Only an
//     explicit call revives a key, and nothing a revoked one.
//   - What cannot be decided is refused: an error, a panic, a time-out or
//     nonsense of a Store, a Plan or a Limiter is 503, never 401 and never a
//     pass.
//   - The number of an owner's live keys never exceeds the plan's cap by a
//     call that issues, imports or revives one, under any concurrency.
//   - Never more than two tokens of a key work. When the outcome of a write is
//     not known the error says so and names the key: [*OutcomeUnknownError].
//   - Nobody makes, changes, enables or rotates a key that may do more than
//     they may. Anybody who may see a key's owner may disable or revoke it.
//   - Usage is counted once. A crash loses at most what came since the last
//     flush and while the Store failed; [Manager.Close] loses none, or says
//     what it lost.
//   - No token, digest or pepper is in a log, an error, an encoding, a panic,
//     an event or the history. [Token.Reveal] and [Record.Bytes] are the only
//     ways to one, and [Digest], [Pepper] and all that holds them print masked.
//   - No goroutine outlives Close, and no request makes the package panic. A
//     route that is wired wrongly panics at start-up, as [net/http.ServeMux] does.
//
// # What it does not do
//
// It is no login, no OAuth server and no signature of requests: a token is all
// that a client has. It keeps no data of its own: a [Store] does, and package
// memstore, in memory, forgets when the process ends. It does not read tokens
// from query strings, cookies or bodies, where they end up in logs. The limiter
// that comes with it counts in this process alone. It sends no mail and writes
// no log: [Config.OnEvent] is told what happens.
package apikey
