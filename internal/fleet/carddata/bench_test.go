package carddata

import (
	"testing"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// The bodies of DESIGN, complete.
const (
	heartbeatBody = `{"ts":1763900000123,"every_s":60,"boot":1763890000,"seq":17,"merchant":"898440153110001","model":"A920","serial":"SN1","app":"2.4.1","os":"10","params":"17:9f3c2a","net":{"type":"4g","rssi":-71,"rtt_ms":80,"host_ok":true,"iccid":"89860012345678901236","cell":"460-00-1234-5678"},"health":{"printer":"ok","reader":"ok","scanner":"ok","pinpad":"ok","screen":"ok","battery":87,"tamper":false,"storage_mb":512},"totals":{"approved":812,"declined":9}}`
	txnBody       = `{"ts":1763900000456,"id":"20261123-000123","src":"terminal","merchant":"898440153110001","code":"03","type":"sale","amount":1200,"currency":"CNY","entry":"chip","latency_ms":240,"app":"2.4.1","params":"17:9f3c2a"}`
)

func benchmarkClean(b *testing.B, body string, kind fleet.Kind) {
	raw := []byte(body)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, hits := Redact(raw, kind, "1"); hits != nil {
			b.Fatal(hits)
		}
	}
}

func BenchmarkRedactCleanHeartbeat(b *testing.B) {
	benchmarkClean(b, heartbeatBody, fleet.KindHeartbeat)
}
func BenchmarkRedactCleanTxn(b *testing.B) { benchmarkClean(b, txnBody, fleet.KindTxn) }

func BenchmarkRedactHit(b *testing.B) {
	raw := []byte(`{"ts":1763900000456,"id":"4111 1111 1111 1111","code":"03"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, hits := Redact(raw, fleet.KindTxn, "1"); len(hits) != 1 {
			b.Fatal(hits)
		}
	}
}
