// Package registry reads what people know about the fleet: the merchants file.
//
//	CSV (UTF-8 or GBK) ──▶ ReadMerchants ──▶ []fleet.Merchant, and config.Problems beside them
//
// A line with a mistake is left out and reported with its line, column and what would be right; the good lines are
// returned all the same, in the order of the file. Reading blocks only on the reader it is given; nothing is logged.
//
// A value that may be a card number is never repeated in a problem.
//
// Test with `go test ./internal/registry`; the reader has a fuzz target.
package registry
