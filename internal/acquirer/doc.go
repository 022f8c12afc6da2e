// Package acquirer is how Tillwatch asks an acquirer (收单机构) about its merchant numbers.
//
//	merchant number ──▶ Directory.MerchantStatus ──HTTP──▶ the acquirer's system
//	                                             ◀── fleet.Answer, or an *Error that says what to do
//
// Directory is the port; HTTP is its adapter for a small API of ours, which an acquirer's own system can be put behind:
//
//	GET <url>   200 {"merchant": "898…", "status": "active|not_opened|suspended|cancelled", "since": "2026-11-20T03:04:05Z"}
//	            404 {"error": "unknown_merchant", …}   the acquirer does not know the number
//	            429, 503 with Retry-After (seconds or an HTTP date)
//
// since is optional (RFC 3339). The URL comes from a template, https://host/v1/acquirers/{acquirer}/merchants/{merchant}.
//
// MerchantStatus blocks: for its turn under the rate limit, for the answer, and between attempts. It may be called by
// many goroutines; they share one rate limit and one circuit breaker. Nothing runs in the background.
//
// Test with `go test ./internal/acquirer`; the tests ask the simulator's acquirer over real HTTP.
package acquirer
