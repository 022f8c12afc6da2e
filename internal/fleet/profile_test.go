package fleet

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// The codes of the two published lists, written down here apart from the table that the program embeds.
const (
	codes1987 = `00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36
		37 38 39 40 41 42 43 44 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 75 90 91 92 93 94 95 96 97 98 99`
	codesUnionPay = `00 01 02 03 04 05 06 07 09 12 13 14 15 19 20 21 22 23 25 30 31 33 34 35 36 37 38 39 40 41 42 43 44 45 51 52
		53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 75 77 79 90 91 92 93 94 95 96 97 98 99 A0 A1 A2 A3 A4 A5 A6 A7`
)

func profile(t *testing.T, name string) *Profile {
	t.Helper()
	p, err := LookupProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuiltInProfilesAreComplete(t *testing.T) {
	han := func(r rune) bool { return unicode.Is(unicode.Han, r) }
	for name, want := range map[string]string{ProfileISO8583: codes1987, ProfileUnionPay: codesUnionPay} {
		p := profile(t, name)
		for code := range strings.FieldsSeq(want) {
			if _, ok := p.Code(code); !ok {
				t.Errorf("%s has no code %s", name, code)
			}
		}
		for _, c := range p.Codes() {
			switch {
			case strings.IndexFunc(c.English, unicode.IsLetter) < 0 || strings.IndexFunc(c.English, han) >= 0:
				t.Errorf("%s %s: English is %q", name, c.Code, c.English)
			case strings.IndexFunc(c.Chinese, han) < 0:
				t.Errorf("%s %s: Chinese is %q", name, c.Code, c.Chinese)
			case !slices.Contains(Domains(), c.Domain):
				t.Errorf("%s %s: domain is %q", name, c.Code, c.Domain)
			case c.Display != "" && strings.IndexFunc(c.Display, han) < 0, c.Switch != "" && strings.IndexFunc(c.Switch, han) < 0:
				t.Errorf("%s %s: display %q, switch %q", name, c.Code, c.Display, c.Switch)
			}
		}
		t.Logf("%s: %d codes", name, len(p.Codes()))
	}
	// every code that the terminal's rulebook lists has its display text and its class
	union := profile(t, ProfileUnionPay)
	for _, c := range union.Codes() {
		if (c.Display == "") != slices.Contains([]string{"08", "10", "11", "16", "45", "A1", "A2", "A3", "A4", "A5", "A6", "A7"}, c.Code) {
			t.Errorf("unionpay %s: display is %q", c.Code, c.Display)
		}
		if c.Display != "" && c.Class == "" {
			t.Errorf("unionpay %s has no class", c.Code)
		}
	}
}

func TestMeaningDependsOnProfile(t *testing.T) {
	iso, union := profile(t, ProfileISO8583), profile(t, ProfileUnionPay)
	for code, want := range map[string][2]Domain{
		"03": {DomainMerchant, DomainMerchant},
		"58": {DomainTerminal, DomainMerchantTerminal},
		"97": {DomainSwitch, DomainTerminal},
		"98": {DomainTerminalKey, DomainNetwork},
		"99": {DomainOther, DomainTerminalKey},
	} {
		a, _ := iso.Code(code)
		b, _ := union.Code(code)
		if a.Domain != want[0] || b.Domain != want[1] {
			t.Errorf("%s is %s and %s, want %s and %s", code, a.Domain, b.Domain, want[0], want[1])
		}
		if code != "03" && (a.English == b.English || a.Chinese == b.Chinese) {
			t.Errorf("%s reads the same in both: %q, %q", code, a.English, a.Chinese)
		}
	}
	got, _ := union.Code("97")
	want := Code{Code: "97", English: "Terminal number not found (not registered with the centre or the bank)", Chinese: "POS终端号找不到(终端未在中心或银行登记)",
		Display: "终端未登记，联系收单行或银联", Class: "D", Switch: "ATM/POS终端号找不到", Domain: DomainTerminal}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("unionpay 97 (-want +got):\n%s", d)
	}
}

func TestApproved(t *testing.T) {
	approvals := map[string][]string{
		ProfileISO8583:  {"00", "08", "10", "11", "16"},
		ProfileUnionPay: {"00", "08", "10", "11", "16", "A2", "A4", "A5", "A6"},
	}
	for name, want := range approvals {
		p := profile(t, name)
		var got []string
		for _, c := range p.Codes() {
			if p.Approved(c.Code) {
				got = append(got, c.Code)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s approves (-want +got):\n%s", name, d)
		}
		for _, unknown := range []string{"", "0", "000", "ZZ", "a2", "77x"} {
			if p.Approved(unknown) {
				t.Errorf("%s approves %q, which it does not know", name, unknown)
			}
		}
	}
	if profile(t, ProfileISO8583).Approved("A2") {
		t.Error("A2 is UnionPay's alone")
	}
}

func TestWatched(t *testing.T) {
	for name, want := range map[string][]string{ProfileISO8583: {"03"}, ProfileUnionPay: {"03", "58", "97"}} {
		p := profile(t, name)
		if d := cmp.Diff(want, p.Watched()); d != "" {
			t.Errorf("%s watches (-want +got):\n%s", name, d)
		}
		p.Watched()[0] = "00"
		for _, c := range p.Codes() {
			if p.Watches(c.Code) != slices.Contains(want, c.Code) {
				t.Errorf("%s: Watches(%s) = %v", name, c.Code, p.Watches(c.Code))
			}
		}
	}
}

func TestLookupUnknownProfile(t *testing.T) {
	_, err := LookupProfile("visa")
	if err == nil || !strings.Contains(err.Error(), `"visa"`) || !strings.Contains(err.Error(), "iso8583-1987, unionpay") {
		t.Errorf("error is %v, want one that names the known profiles", err)
	}
}

func TestParseProfileOwnFile(t *testing.T) {
	want := []Code{
		{Code: "000", English: "Approved", Chinese: "成功", Domain: DomainOK},
		{Code: "109", English: "Invalid merchant, says \"host\"", Chinese: "无效商户", Domain: DomainMerchant, Class: "C"},
	}
	for form, file := range map[string]string{
		"tabs":          "code\tdomain\tenglish\tchinese\twatch\tclass\n000\tOK\tApproved\t成功\t\t\n109\tMERCHANT\t\"Invalid merchant, says \"\"host\"\"\"\t无效商户\tyes\tC\n",
		"commas, CRLF":  "watch,chinese,english,domain,code,class\r\nno,成功,Approved,OK,000,\r\nyes,无效商户,\"Invalid merchant, says \"\"host\"\"\",MERCHANT,109,C\r\n",
		"BOM, profiles": "\uFEFFprofile\tcode\tdomain\tenglish\tchinese\twatch\tclass\nmine\t000\tOK\tApproved\t成功\nother\t!\tx\nmine\t109\tMERCHANT\t\"Invalid merchant, says \"\"host\"\"\"\t无效商户\tyes\tC\n",
	} {
		t.Run(form, func(t *testing.T) {
			p, err := ParseProfile("mine", strings.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, p.Codes()); d != "" {
				t.Errorf("codes (-want +got):\n%s", d)
			}
			if p.Name() != "mine" || !p.Watches("109") || p.Watches("000") || !p.Approved("000") || p.Approved("109") {
				t.Errorf("name %q, watched %v", p.Name(), p.Watched())
			}
		})
	}
}

// TestParseProfileReportsEverything: one reading shows all that is wrong, each with its place.
func TestParseProfileReportsEverything(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"many at once": {
			"code,domain,english,chinese,watch,class\n00,OK,Approved,成功,yes,\n0,MERCHANT,x,商,,\n03,SHOP,,商,maybe,F\n00,OK,a,成,,,\n",
			[]string{
				`line 2, column 23: code "00" is an approval and cannot be watched`,
				`line 3, column 1: code "0", want 2 to 4 letters or digits`,
				`line 4, column 4: domain "SHOP", want one of OK, ISSUER,`,
				`line 4, column 9: english of code "03" is empty`,
				`line 4, column 14: watch "maybe", want yes, no or nothing`,
				`line 4, column 20: class "F", want A to E or nothing`,
				`line 5, column 1: code "00" is there twice`,
				`line 5, column 15: more cells than the header has columns`,
			},
		},
		"short row":       {"code\tdomain\tenglish\tchinese\n03\n", []string{"line 2, column 1: domain", "line 2, column 1: english of code", "line 2, column 1: chinese of code"}},
		"columns":         {"code,Domain,english,english\n", []string{`line 1, column 6: unknown column "Domain"`, `line 1, column 21: column "english" is there twice`, `line 1, column 1: column "domain" is missing`, `column "chinese" is missing`}},
		"quote":           {"code,domain,english,chinese\n00,OK,a\"b,成\n", []string{"line 2, column"}},
		"empty":           {"", []string{"line 1, column 1: the file is empty"}},
		"no approval":     {"code,domain,english,chinese,watch\n03,MERCHANT,x,商,yes\n", []string{"no code has domain OK"}},
		"nothing watched": {"code,domain,english,chinese\n00,OK,x,商\n", []string{"no code has watch yes"}},
		"another profile": {"profile,code,domain,english,chinese\nother,00,OK,x,商\n", []string{`no row for profile "mine"`}},
		"no owner":        {"profile,code,domain,english,chinese\n,00,OK,x,商\n", []string{"line 2, column 1: profile is empty"}},
		"not UTF-8":       {"code,domain,english,chinese\n00,OK,x,\xce\xde\n", []string{"not UTF-8"}},
		"too large":       {strings.Repeat("x", 1<<20+1), []string{"over 1048576 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParseProfile("mine", strings.NewReader(c.file))
			if err == nil {
				t.Fatalf("accepted: %v", p.Codes())
			}
			for _, w := range append(c.want, `profile "mine"`) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error lacks %q:\n%v", w, err)
				}
			}
		})
	}
}

func FuzzParseProfile(f *testing.F) {
	f.Add("mine", "code\tdomain\tenglish\tchinese\twatch\n00\tOK\tApproved\t成功\t\n03\tMERCHANT\tx\t商\tyes\n")
	f.Add("mine", "profile,code,domain,english,chinese,watch\nmine,00,OK,\"a\nb\",成功,\nmine,03,MERCHANT,x,商,yes\n")
	f.Add(ProfileUnionPay, responseCodes)
	f.Fuzz(func(t *testing.T, name, file string) {
		p, err := ParseProfile(name, strings.NewReader(file))
		if (p == nil) == (err == nil) {
			t.Fatalf("profile %v and error %v", p, err)
		}
		if err != nil {
			return
		}
		approvals := 0
		for _, c := range p.Codes() {
			if !ValidCode(c.Code) || c.English == "" || c.Chinese == "" || !slices.Contains(Domains(), c.Domain) {
				t.Fatalf("accepted %+v", c)
			}
			if p.Approved(c.Code) {
				approvals++
			}
		}
		if approvals == 0 || len(p.Watched()) == 0 {
			t.Fatalf("%d approvals, watched %v", approvals, p.Watched())
		}
		for _, code := range p.Watched() {
			if _, ok := p.Code(code); !ok || p.Approved(code) {
				t.Fatalf("watches %q", code)
			}
		}
	})
}
