package alerter

import (
	"slices"
	"testing"
	"unicode"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

func TestCausesAreComplete(t *testing.T) {
	want := []string{
		"merchant_info_wrong", "parameters_wrong", "hardware_fault", "software_conflict", "merchant_not_active",
		"account_blocked", "terminal_or_network", "institution_outage",
		"keys_lost", "sim_or_place_changed", "dormant_cancelled", "risk_control_ban", "not_filed", CauseUnknown,
	}
	var got []string
	for _, c := range Causes {
		got = append(got, c.ID)
		check := func(what string, w Words) {
			t.Helper()
			if w.EN == "" || containsHan(w.EN) {
				t.Errorf("%s: %s: English text %q: want words without Chinese characters", c.ID, what, w.EN)
			}
			if !containsHan(w.ZH) {
				t.Errorf("%s: %s: Chinese text %q: want Chinese", c.ID, what, w.ZH)
			}
		}
		check("title", c.Title)
		check("seen in", c.SeenIn)
		if len(c.Advice) < 2 || len(c.Advice) > maxSteps {
			t.Errorf("%s: %d steps of advice, want 2 to %d", c.ID, len(c.Advice), maxSteps)
		}
		for _, a := range c.Advice {
			// 签到 stands in an English step as the word on the terminal's key.
			if a.EN == "" || !containsHan(a.ZH) {
				t.Errorf("%s: advice %+v: want both languages", c.ID, a)
			}
		}
		if found, ok := CauseByID(c.ID); !ok || found.Title != c.Title {
			t.Errorf("CauseByID(%q) = %v, %v", c.ID, found, ok)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("causes are %q, want %q", got, want)
	}
	if c, ok := CauseByID("no_such_cause"); ok {
		t.Errorf("CauseByID of an unknown id = %v", c)
	}
}

func containsHan(s string) bool {
	for _, r := range s {
		if unicode.Is(unicode.Han, r) {
			return true
		}
	}
	return false
}

func TestParseLanguage(t *testing.T) {
	for tag, want := range map[string]Language{
		"en": English, "en-US": English, "EN_gb.UTF-8": English, "english": English,
		"zh": Chinese, "zh-CN": Chinese, "zh_CN.UTF-8": Chinese, " zh-Hant-TW ": Chinese, "中文": Chinese,
	} {
		if got, err := ParseLanguage(tag); err != nil || got != want {
			t.Errorf("ParseLanguage(%q) = %q, %v, want %q", tag, got, err, want)
		}
	}
	for _, tag := range []string{"", "de", "zhongwen", "e"} {
		if got, err := ParseLanguage(tag); err == nil {
			t.Errorf("ParseLanguage(%q) = %q, want an error", tag, got)
		}
	}
}

func TestNextStepsFollowTheCause(t *testing.T) {
	advice := func(id string, n int) []string {
		c, ok := CauseByID(id)
		if !ok {
			t.Fatalf("no cause %q", id)
		}
		var out []string
		for _, a := range c.Advice[:n] {
			out = append(out, a.EN)
		}
		return out
	}
	guess := func(id string, weight float64) fleet.CauseGuess { return fleet.CauseGuess{ID: id, Weight: weight} }
	merchant := fleet.Scope{{"acquirer": "a1", "merchant": "m1"}}
	for name, tc := range map[string]struct {
		t    fleet.Transition
		want []string
	}{
		"one cause": {
			fleet.Transition{Scope: merchant, Causes: []fleet.CauseGuess{guess("merchant_not_active", .9)}},
			advice("merchant_not_active", 4),
		},
		"the heaviest, whatever its place": {
			fleet.Transition{Scope: merchant, Causes: []fleet.CauseGuess{guess("keys_lost", .1), guess("software_conflict", .8)}},
			advice("software_conflict", 4),
		},
		"a close second adds its beginning": {
			fleet.Transition{Scope: merchant, Causes: []fleet.CauseGuess{guess("keys_lost", .5), guess("not_filed", .4)}},
			append(advice("keys_lost", 2), append([]string{placeTestSale(t)}, advice("not_filed", 2)...)...),
		},
		"undecided": {
			fleet.Transition{Scope: merchant, Causes: []fleet.CauseGuess{guess(CauseUnknown, .6), guess("not_filed", .4)}},
			english(placeSteps[placeMerchant]),
		},
		"a cause of a later release": {
			fleet.Transition{Scope: merchant, Causes: []fleet.CauseGuess{guess("from_the_future", 1)}},
			english(placeSteps[placeMerchant]),
		},
		"over": {
			fleet.Transition{Step: fleet.StepResolved, Scope: merchant, Causes: []fleet.CauseGuess{guess("keys_lost", .5)}},
			nil,
		},
	} {
		if got := NextSteps(&tc.t, English); !slices.Equal(got, tc.want) {
			t.Errorf("%s: steps\n%q, want\n%q", name, got, tc.want)
		}
	}
}

// placeTestSale is the third step of keys_lost.
func placeTestSale(t *testing.T) string {
	c, ok := CauseByID("keys_lost")
	if !ok {
		t.Fatal("no cause keys_lost")
	}
	return c.Advice[2].EN
}

func english(steps []Words) (out []string) {
	for _, s := range steps {
		out = append(out, s.EN)
	}
	return out
}

func TestNextStepsFollowTheScope(t *testing.T) {
	seen := map[string]string{}
	for name, tc := range map[string]struct {
		kind  fleet.IncidentKind
		scope fleet.Scope
		want  []Words
	}{
		"terminal":            {fleet.IncidentSpike, fleet.Scope{{"acquirer": "a1", "merchant": "m1", "terminal": "t1"}}, placeSteps[placeTerminal]},
		"merchant":            {fleet.IncidentSpike, fleet.Scope{{"acquirer": "a1", "merchant": "m1"}}, placeSteps[placeMerchant]},
		"app":                 {fleet.IncidentSpike, fleet.Scope{{"acquirer": "a1", "app": "2.4.1"}}, placeSteps[placeSoftware]},
		"model in a region":   {fleet.IncidentSpike, fleet.Scope{{"region": "r1", "model": "A920"}}, placeSteps[placeSoftware]},
		"region":              {fleet.IncidentSpike, fleet.Scope{{"acquirer": "a1", "region": "r1"}}, placeSteps[placeRegion]},
		"acquirer":            {fleet.IncidentSpike, fleet.Scope{{"acquirer": "a1"}}, placeSteps[placeAcquirer]},
		"everything":          {fleet.IncidentSpike, fleet.Scope{{}}, placeSteps[placeFleet]},
		"no scope":            {fleet.IncidentSpike, nil, placeSteps[placeFleet]},
		"the widest of an or": {fleet.IncidentSpike, fleet.Scope{{"merchant": "m1"}, {"region": "r1"}}, placeSteps[placeRegion]},
		"dead till":           {fleet.IncidentDeadTill, fleet.Scope{{"acquirer": "a1"}}, placeSteps[placeTerminal]},
		"silence":             {fleet.IncidentSilence, fleet.Scope{{"acquirer": "a1"}}, silenceSteps},
		"pipeline":            {fleet.IncidentPipeline, fleet.Scope{{}}, pipelineSteps},
	} {
		tr := fleet.Transition{Kind: tc.kind, Scope: tc.scope}
		en, zh := NextSteps(&tr, English), NextSteps(&tr, Chinese)
		if !slices.Equal(en, english(tc.want)) {
			t.Errorf("%s: steps %q, want %q", name, en, english(tc.want))
		}
		if len(zh) != len(en) || !containsHan(zh[0]) {
			t.Errorf("%s: Chinese steps %q beside %q", name, zh, en)
		}
		seen[en[0]] = name
	}
	if len(seen) != 8 {
		t.Errorf("%d different sets of steps, want 8: %v", len(seen), seen)
	}
}
