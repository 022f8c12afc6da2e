package collector

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the collector does. Names follow Prometheus' conventions.
type metrics struct {
	messages     *prometheus.CounterVec // stream, outcome
	lines        *prometheus.CounterVec // bucket
	deadLetters  *prometheus.CounterVec // stream, reason
	guardHits    *prometheus.CounterVec // kind
	redacted     *prometheus.CounterVec // stream
	otherSource  *prometheus.CounterVec // src
	writeErrors  *prometheus.CounterVec // class
	writeSeconds prometheus.Histogram
	batch        prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tillwatch", Subsystem: "collector", Name: name, Help: help}, labels)
	}
	m := &metrics{
		messages:    vec("messages_total", "Messages taken from a stream by what became of them.", "stream", "outcome"),
		lines:       vec("lines_total", "Lines stored.", "bucket"),
		deadLetters: vec("dead_letters_total", "Messages that could not be used, by reason.", "stream", "reason"),
		guardHits:   vec("card_data_hits_total", "Occurrences of card data redacted, by kind.", "kind"),
		redacted:    vec("redacted_total", "Events replaced by their redacted copy.", "stream"),
		otherSource: vec("other_source_total", "Transactions of a source that is not the acquirer's authoritative one.", "src"),
		writeErrors: vec("write_errors_total", "Writes that the database did not take, by class.", "class"),
		writeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "tillwatch", Subsystem: "collector", Name: "write_seconds",
			Help: "Duration of one write.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "tillwatch", Subsystem: "collector", Name: "batch_messages",
			Help: "Messages a batch.", Buckets: prometheus.ExponentialBuckets(1, 2, 13)}),
	}
	if reg != nil {
		reg.MustRegister(m.messages, m.lines, m.deadLetters, m.guardHits, m.redacted, m.otherSource, m.writeErrors, m.writeSeconds, m.batch)
	}
	return m
}

func (m *metrics) count(stream string, outcomes []outcome) {
	var n [4]int
	for _, o := range outcomes {
		n[o]++
	}
	for o, name := range []string{"stored", "not_stored", "dead_letter_or_replaced", "postponed"} {
		if n[o] > 0 {
			m.messages.WithLabelValues(stream, name).Add(float64(n[o]))
		}
	}
	m.batch.Observe(float64(len(outcomes)))
}
