// Package carddata is the guard against cardholder data.
//
//	body of a heartbeat or txn ──▶ Redact ──▶ the same body, or one without the card data, and what kind it was
//	payload nobody can decode  ──▶ Mask   ──▶ a short text for the dead-letter queue
//	subject token              ──▶ Suspicious ──▶ whether the terminal id itself looks like a card number
//
// Everything here is pure and safe for concurrent use: no state, no clock, no I/O, no logger. Nothing it returns
// contains what it found. Redact runs on every message of the fleet; without a hit it returns its argument and
// allocates nothing.
package carddata
