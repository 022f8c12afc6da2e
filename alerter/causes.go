package alerter

import (
	"fmt"
	"strings"
)

// Language is a language that people are addressed in.
type Language string

// The languages. The zero value reads as English.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// ParseLanguage reads a language tag as people and environments write it: en, en-US, zh, zh-CN, zh_CN.UTF-8. Case does
// not matter. Every region's Chinese is answered in simplified characters.
func ParseLanguage(tag string) (Language, error) {
	base := strings.ToLower(strings.TrimSpace(tag))
	if i := strings.IndexAny(base, "-_."); i >= 0 {
		base = base[:i]
	}
	switch base {
	case "en", "eng", "english":
		return English, nil
	case "zh", "zho", "chi", "chinese", "中文":
		return Chinese, nil
	}
	return "", fmt.Errorf("parse language %q: want en or zh", tag)
}

// Words is one text in both languages.
type Words struct{ EN, ZH string }

// In returns the text in a language; anything but Chinese reads as English.
func (w Words) In(l Language) string {
	if l == Chinese {
		return w.ZH
	}
	return w.EN
}

// CauseUnknown is the id of a cause that the evidence does not decide.
const CauseUnknown = "unknown"

// Cause is one reason why terminals show 无效商户 (ISO 8583 field 39 = 03).
type Cause struct {
	ID     string  // stable; travels in fleet.CauseGuess
	Title  Words   // a noun phrase
	Advice []Words // what to do, in order: act, call, verify
	SeenIn Words   // where its evidence is found
}

// CauseByID returns a cause of the table and whether there is one of that id.
func CauseByID(id string) (*Cause, bool) {
	for i := range Causes {
		if Causes[i].ID == id {
			return &Causes[i], true
		}
	}
	return nil, false
}
