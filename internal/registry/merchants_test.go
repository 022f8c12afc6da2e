package registry

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/tillwatch/tillwatch/internal/config"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// The same two merchants in every form in which such files come.
func TestReadMerchantsForms(t *testing.T) {
	want := []fleet.Merchant{
		{Acquirer: "a1", Merchant: "000440153110001", Name: "老王面馆, 总店", Status: fleet.MerchantActive, MCC: "5812", Region: "上海"},
		{Acquirer: "a2", Merchant: "898440153110002", Name: "便利店", Status: fleet.MerchantNotOpened, MCC: "0742"},
	}
	plain := "acquirer,merchant,name,status,mcc,region\na1,000440153110001,\"老王面馆, 总店\",active,5812,上海\na2,898440153110002,便利店,not_opened,0742,\n"
	gbk, err := simplifiedchinese.GBK.NewEncoder().String(plain)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"utf-8":         plain,
		"bom":           "\ufeff" + plain,
		"gbk":           gbk,
		"crlf":          strings.ReplaceAll(plain, "\n", "\r\n"),
		"no newline":    strings.TrimSuffix(plain, "\n"),
		"padding":       "acquirer, Merchant ,name,status,mcc,region\n a1 , 000440153110001 ,\"老王面馆, 总店\", active , 5812 , 上海 \na2,898440153110002    ,便利店,not_opened,0742,\n",
		"other order":   "region,name,merchant,status,acquirer,mcc\n上海,\"老王面馆, 总店\",000440153110001,active,a1,5812\n,便利店,898440153110002,not_opened,a2,0742\n",
		"unkept":        "acquirer,merchant,name,status,mcc,region,agent,min_balance_minor,opened_on\na1,000440153110001,\"老王面馆, 总店\",active,5812,上海,x,100,2020-01-01\na2,898440153110002,便利店,not_opened,0742,,,,\n",
		"left-over end": plain + ",,,,,\n\n , , , , , \n",
	} {
		got, err := ReadMerchants(name, strings.NewReader(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	least, err := ReadMerchants("least", strings.NewReader("merchant,acquirer\n1,a1\n"))
	if diff := cmp.Diff([]fleet.Merchant{{Acquirer: "a1", Merchant: "1"}}, least); err != nil || diff != "" {
		t.Errorf("the required columns alone: %v\n%s", err, diff)
	}
}

// Good lines come back beside the problems of the bad ones, and no problem repeats a card number.
func TestReadMerchantsProblems(t *testing.T) {
	data, err := os.ReadFile("testdata/merchants.csv")
	if err != nil {
		t.Fatal(err)
	}
	const pan = "4111111111111111" // the card schemes' published test number
	text := strings.ReplaceAll(string(data), "{PAN}", pan)
	text = strings.ReplaceAll(text, "{GROUPED}", pan[:4]+" "+pan[4:8]+" "+pan[8:12]+" "+pan[12:])
	got, err := ReadMerchants("m.csv", strings.NewReader(text))
	var kept []string
	for _, m := range got {
		kept = append(kept, m.Acquirer+"/"+m.Merchant)
	}
	if diff := cmp.Diff([]string{"a1/898440153110001", "a1/898440153110002", "a2/898440153110001", "a1/00898440153110001", "a1/last", "a1/378282246310005"}, kept); diff != "" {
		t.Errorf("good lines:\n%s", diff)
	}
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		t.Fatalf("error is %T: %v", err, err)
	}
	want := []string{
		`m.csv:4:4: merchant: got the merchant of line 2 again, want one line`,
		`m.csv:5:1: acquirer: got "_all", want an acquirer id`,
		`m.csv:6:4: merchant: got nothing, want a merchant number`,
		`m.csv:7:4: merchant: got 33 bytes, want a merchant number of at most 32 bytes`,
		`m.csv:8:12: status: got "opened", want active, not_opened, suspended, cancelled, or nothing`,
		`m.csv:9:13: status: got "unknown", want active`,
		`m.csv:10:17: mcc: got "812", want four digits`,
		`m.csv:11:4: merchant: got "8.9844E+14", want the number in full`,
		`m.csv:12: got 7 columns, want 6, as in the header`,
		`m.csv:13:8: name: got a value with 16 digits (not shown: it may be a card number), want no card number`,
		`m.csv:14:8: name: got a value with 16 digits`,
		`m.csv:15:13: status: got a value with 16 digits`,
		`m.csv:16:1: acquirer: got nothing, want an acquirer id`,
		`m.csv:16:2: merchant: got nothing`,
		`m.csv:16:9: mcc: got "x"`,
		`m.csv:17: got bare " in non-quoted-field`,
		`m.csv:20:1: acquirer: got "a 1"`,
		`m.csv:21:11: status: got "停用", want active`,
		`m.csv:23:4: merchant: got a value with 16 digits (not shown: it may be a card number), want a merchant number, no card number`,
	}
	for i := range max(len(want), len(problems)) {
		switch {
		case i >= len(problems):
			t.Errorf("missing: %s", want[i])
		case i >= len(want):
			t.Errorf("beyond what is wrong: %v", problems[i])
		case !strings.HasPrefix(problems[i].Error(), want[i]):
			t.Errorf("got  %v\nwant %s", problems[i], want[i])
		}
	}
	if digits := strings.NewReplacer(" ", "").Replace(err.Error()); strings.Contains(digits, pan[:10]) || strings.Contains(digits, pan[9:]) {
		t.Errorf("a card number is repeated:\n%v", err)
	}
	t.Logf("%d good lines, %d problems in one go", len(got), len(problems))
}

func TestReadMerchantsFileProblems(t *testing.T) {
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String("acquirer,merchant\n")
	if err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string][]string{
		"":                     {"m.csv:1: got an empty file, want a header: acquirer,merchant,name"},
		"\ufeff":               {"m.csv:1: got an empty file"},
		utf16:                  {"m.csv:1:1: got a file in UTF-16"},
		"acquirer;merchant\n":  {"m.csv:1:1: got columns separated by something else"},
		"a1,898440153110001\n": {"m.csv:1:1: header: got \"a1\"", "m.csv:1:4: header: got a value with 15 digits", "no column acquirer", "no column merchant"},
		"acquirer,mercant\n":   {"m.csv:1:10: header: got \"mercant\"", "no column merchant"},
		"acquirer,merchant,商户名,merchant\na1,1,x,2\n":    {"m.csv:1:19: header: got \"商户名\"", "m.csv:1:23: header: got \"merchant\" for the second time"},
		"acquirer,\"merchant\nx":                        {"m.csv:1: got extraneous or missing"},
		"acquirer,merchant,name\na1,1,\"open\na1,2,x\n": {"m.csv:2: got extraneous or missing"},
		"acquirer,merchant,name\na1,1,\xff\xff\n":       {"m.csv:2:6: got a byte that is no character"},
	} {
		got, err := ReadMerchants("m.csv", strings.NewReader(data))
		if len(got) != 0 {
			t.Errorf("%q: %d merchants", data, len(got))
		}
		problems, _ := errors.AsType[config.Problems](err)
		if len(problems) != len(want) {
			t.Errorf("%q: %d problems, want %d: %v", data, len(problems), len(want), err)
			continue
		}
		for i, p := range problems {
			if !strings.Contains(p.Error(), want[i]) {
				t.Errorf("%q\ngot  %v\nwant %s", data, p, want[i])
			}
		}
	}
	broken := errors.New("disk is gone")
	if _, err := ReadMerchants("m.csv", io.MultiReader(strings.NewReader("acquirer"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("the reader's error is lost: %v", err)
	}
}

// Whatever the file holds, what is returned is usable as a key, unique, and every line is accounted for.
func FuzzReadMerchants(f *testing.F) {
	if data, err := os.ReadFile("testdata/merchants.csv"); err == nil {
		f.Add(string(data))
	}
	f.Add("acquirer,merchant,name\na1,1,\xc0\xcf\xcd\xf5\n")
	f.Add("\ufeffmerchant,acquirer\n\"1\n2\",a1\n")
	f.Fuzz(func(t *testing.T, data string) {
		got, err := ReadMerchants("f.csv", strings.NewReader(data))
		if err != nil {
			problems, ok := errors.AsType[config.Problems](err)
			if !ok {
				t.Fatal(err)
			}
			for _, p := range problems {
				if p.Line < 1 || p.Want == "" || p.Got == "" {
					t.Errorf("incomplete: %s", fmt.Sprintf("%#v", p))
				}
			}
		}
		seen := map[string]bool{}
		for _, m := range got {
			key := m.Acquirer + "." + fleet.Escape(m.Merchant)
			if !fleet.ValidAcquirer(m.Acquirer) || m.Merchant == "" || len(m.Merchant) > fleet.MaxID || m.Merchant != fleet.TrimID(m.Merchant) || seen[key] {
				t.Errorf("returned %+v", m)
			}
			seen[key] = true
		}
	})
}
