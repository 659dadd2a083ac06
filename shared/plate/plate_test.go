package plate

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"wechat-parking-gateway/shared/problem"
)

var accepted = []struct{ name, plate string }{
	{"blue, small car", "粤B12345"},
	{"WeChat Pay's own sample of seven", "粤A00000"},
	{"WeChat Pay's own sample of eight", "粤B888888"},
	{"letters among the digits", "京A8B8C8"},
	{"letter at the end", "沪C1234Z"},
	{"I and O", "京OI1O0I"},
	{"police of Beijing, O series", "京O12345"},
	{"new energy, small, D third", "粤BD12345"},
	{"new energy, small, F third", "京AF12345"},
	{"new energy, small, two letters", "沪AAD1234"},
	{"new energy, small, later letters", "川AG12345"},
	{"new energy, large, D last", "粤B12345D"},
	{"new energy, large, F last", "京A12345F"},
	{"new energy without D or F", "浙A123456"},
	{"trailer", "粤B1234挂"},
	{"driving school", "粤B1234学"},
	{"driving school, new energy", "粤BD1234学"},
	{"police", "粤B1234警"},
	{"police, new energy", "粤BD1234警"},
	{"test drive", "吉A1234试"},
	{"oversize", "鲁A1234超"},
	{"temporary, numbered", "粤B1234临"},
	{"consulate, of its province", "沪A0023领"},
	{"consulate, eight", "粤A22478领"},
	{"Hong Kong and mainland", "粤ZF123港"},
	{"Macau and mainland", "粤ZD456澳"},
	{"fire and rescue", "京X0001应急"},
	{"entry across the border", "云A1234入境"},
	{"farm machine", "黑0112345"},
	{"Heilongjiang is not black", "黑A12345"},
	{"Heilongjiang, new energy", "黑AD12345"},
	{"Heilongjiang, looks like Hong Kong after a colour", "黑AB1234"},
	{"Heilongjiang, looks military after a colour", "黑VA12345"},
	{"Xinjiang is not new energy", "新A12345"},
	{"Qinghai is not a colour", "青A12345"},
	{"province, then what looks like Hong Kong", "粤MA1234"},
	{"province, then what looks like the armed police", "粤WJ1234"},
	{"all the same digit after the letter", "粤B00000"},
	{"first ideograph of extension A", "粤B1234㐀"},
	{"last unified ideograph", "粤B1234\u9fff"},
}

func TestCheckAccepts(t *testing.T) {
	for _, test := range accepted {
		t.Run(test.name, func(t *testing.T) {
			if code, hint, ok := Check(test.plate); !ok || code != "" || hint != "" {
				t.Errorf("Check(%q): got %q, %q, %v; want it accepted", test.plate, code, hint, ok)
			}
		})
	}
}

func TestCheckAcceptsEveryProvince(t *testing.T) {
	if got, want := utf8.RuneCountInString(provinces), 31; got != want {
		t.Fatalf("provinces: got %d, want %d", got, want)
	}
	seen := map[rune]bool{}
	for _, r := range provinces {
		if seen[r] {
			t.Errorf("province %c: got it twice", r)
		}
		seen[r] = true
		for _, rest := range []string{"A12345", "AD12345", "A1234学"} {
			if _, hint, ok := Check(string(r) + rest); !ok {
				t.Errorf("Check(%q): got %q, want it accepted", string(r)+rest, hint)
			}
		}
	}
}

var refused = []struct {
	name, plate string
	code        problem.FieldCode
	hint        string
}{
	// The form.
	{"empty", "", problem.PlateMalformed, hintEmpty},
	{"not UTF-8", "粤B1234\xff", problem.PlateMalformed, hintUTF8},
	{"GBK", "\xd4\xc1B12345", problem.PlateMalformed, hintUTF8},
	{"full-width digits", "粤B１２３４５", problem.PlateMalformed, hintFullWidth},
	{"full-width letter", "粤Ｂ12345", problem.PlateMalformed, hintFullWidth},
	{"full-width lower case", "粤ｂ12345", problem.PlateMalformed, hintFullWidth},
	{"middle dot", "粤B·12345", problem.PlateMalformed, hintDot},
	{"bullet", "粤B•12345", problem.PlateMalformed, hintDot},
	{"katakana dot", "粤B・12345", problem.PlateMalformed, hintDot},
	{"half-width katakana dot", "粤B･12345", problem.PlateMalformed, hintDot},
	{"hyphenation point", "粤B‧12345", problem.PlateMalformed, hintDot},
	{"bullet operator", "粤B∙12345", problem.PlateMalformed, hintDot},
	{"dot operator", "粤B⋅12345", problem.PlateMalformed, hintDot},
	{"black circle", "粤B●12345", problem.PlateMalformed, hintDot},
	{"full stop", "粤B.12345", problem.PlateMalformed, hintDot},
	{"full-width full stop", "粤B．12345", problem.PlateMalformed, hintDot},
	{"Chinese full stop", "粤B。12345", problem.PlateMalformed, hintDot},
	{"space inside", "粤B 12345", problem.PlateMalformed, hintSpace},
	{"space in front", " 粤B12345", problem.PlateMalformed, hintSpace},
	{"space behind", "粤B12345 ", problem.PlateMalformed, hintSpace},
	{"line feed behind", "粤B12345\n", problem.PlateMalformed, hintSpace},
	{"NUL behind", "粤B12345\x00", problem.PlateMalformed, hintSpace},
	{"no-break space", "粤B\u00a012345", problem.PlateMalformed, hintSpace},
	{"ideographic space", "粤B\u300012345", problem.PlateMalformed, hintSpace},
	{"zero-width space", "粤B\u200b12345", problem.PlateMalformed, hintSpace},
	{"byte order mark", "\ufeff粤B12345", problem.PlateMalformed, hintSpace},
	{"right-to-left mark", "粤B\u200f12345", problem.PlateMalformed, hintSpace},
	{"spaces alone", "   ", problem.PlateMalformed, hintSpace},
	{"hyphen", "粤B-12345", problem.PlateMalformed, hintHyphen},
	{"en dash", "粤B–12345", problem.PlateMalformed, hintHyphen},
	{"em dash", "粤B—12345", problem.PlateMalformed, hintHyphen},
	{"minus", "粤B−12345", problem.PlateMalformed, hintHyphen},
	{"full-width hyphen", "粤B－12345", problem.PlateMalformed, hintHyphen},
	{"underscore", "粤B_12345", problem.PlateMalformed, hintHyphen},
	{"masked", "粤B***45", problem.PlateMalformed, hintMask},
	{"a question mark", "粤B1234?", problem.PlateMalformed, hintMask},
	{"replacement character", "\ufffdB12345", problem.PlateMalformed, hintMask},
	{"lower-case letter", "粤b12345", problem.PlateMalformed, hintLowerCase},
	{"lower-case letter, new energy", "粤Bd12345", problem.PlateMalformed, hintLowerCase},
	{"lower case before length", "粤b1234", problem.PlateMalformed, hintLowerCase},
	{"Cyrillic letter", "粤В12345", problem.PlateMalformed, hintLookAlike},
	{"Greek letter", "粤Β12345", problem.PlateMalformed, hintLookAlike},
	{"dot before lower case", "粤b·12345", problem.PlateMalformed, hintDot},

	// Words in front.
	{"blue in front", "蓝粤B12345", problem.PlateMalformed, hintColour},
	{"yellow in front", "黄粤B12345", problem.PlateMalformed, hintColour},
	{"green in front", "绿粤BD12345", problem.PlateMalformed, hintColour},
	{"white in front", "白粤B1234警", problem.PlateMalformed, hintColour},
	{"black in front, which has eight characters", "黑粤B12345", problem.PlateMalformed, hintColour},
	{"black in front of new energy", "黑粤BD12345", problem.PlateMalformed, hintColour},
	{"black in front of Heilongjiang", "黑黑A12345", problem.PlateMalformed, hintColour},
	{"black in front, six characters after it", "黑粤Z123港", problem.PlateMalformed, hintColour},
	{"yellow-green in front", "黄绿粤B12345D", problem.PlateMalformed, hintColour},
	{"gradient green in front", "渐变绿粤BD12345", problem.PlateMalformed, hintColour},
	{"blue plate in front", "蓝牌粤B12345", problem.PlateMalformed, hintColour},
	{"colour blue in front", "蓝色粤B12345", problem.PlateMalformed, hintColour},
	{"black plate with a dual plate", "黑牌粤ZF123港", problem.PlateMalformed, hintColour},
	{"new energy in front", "新能源粤BD12345", problem.PlateMalformed, hintColour},
	{"label in front", "车牌粤B12345", problem.PlateMalformed, hintColour},
	{"label and colon in front", "车牌号:粤B12345", problem.PlateMalformed, hintColour},
	{"colour and dot: the dot is said first", "蓝·粤B12345", problem.PlateMalformed, hintDot},

	// The first character.
	{"no province", "B12345", problem.PlateMalformed, hintProvince},
	{"no province, seven", "B1234567", problem.PlateMalformed, hintProvince},
	{"digits alone", "1234567", problem.PlateMalformed, hintProvince},
	{"province at the end", "B12345粤", problem.PlateMalformed, hintProvince},
	{"police first", "警B12345", problem.PlateMalformed, hintProvince},
	{"Taiwan", "台A12345", problem.PlateMalformed, hintProvince},
	{"tail of a dual plate", "ZF123港", problem.PlateMalformed, hintProvince},
	{"an emoji first", "🚗B12345", problem.PlateMalformed, hintProvince},
	{"traditional Guangdong", "粵B12345", problem.PlateMalformed, hintTraditional},
	{"traditional Shanghai", "滬A12345", problem.PlateMalformed, hintTraditional},
	{"traditional Guangdong after a colour", "蓝粵B12345", problem.PlateMalformed, hintColour},
	{"Guangdong in full", "广东B12345", problem.PlateMalformed, hintFullName},
	{"Beijing in full", "北京A1234", problem.PlateMalformed, hintFullName},
	{"Yunnan in full, which has eight characters", "云南A12345", problem.PlateMalformed, hintFullName},
	{"Guizhou in full, which has seven characters", "贵州A1234", problem.PlateMalformed, hintFullName},
	{"Heilongjiang in full, which has eight characters", "黑龙江A1234", problem.PlateMalformed, hintFullName},
	{"Xinjiang in full", "新疆A12345", problem.PlateMalformed, hintFullName},

	// The characters after it and their number.
	{"slash", "粤B/12345", problem.PlateMalformed, hintCharacter},
	{"comma", "粤B,12345", problem.PlateMalformed, hintCharacter},
	{"accented letter", "粤É12345", problem.PlateMalformed, hintCharacter},
	{"other digits", "粤B١٢٣٤٥", problem.PlateMalformed, hintCharacter},
	{"hiragana", "粤B1234の", problem.PlateMalformed, hintCharacter},
	{"ideograph beyond the basic plane", "粤B1234𠀀", problem.PlateMalformed, hintCharacter},
	{"compatibility ideograph", "粤B1234\uf900", problem.PlateMalformed, hintCharacter},
	{"radical", "粤B1234⼀", problem.PlateMalformed, hintCharacter},
	{"ideographic zero", "粤B1234〇", problem.PlateMalformed, hintCharacter},
	{"combining accent", "粤B12345\u0301", problem.PlateMalformed, hintCharacter},
	{"markup", "粤B<1234>", problem.PlateMalformed, hintCharacter},
	{"province alone", "粤", problem.PlateMalformed, hintTooShort},
	{"six characters", "粤B1234", problem.PlateMalformed, hintTooShort},
	{"nine characters", "粤B1234567", problem.PlateMalformed, hintTooLong},
	{"very long", "粤B" + strings.Repeat("1", 10_000), problem.PlateMalformed, hintTooLong},
	{"two plates", "粤B12345粤B12345", problem.PlateMalformed, hintTooLong},

	// Kinds that are not taken.
	{"embassy, since 2018", "224578使", problem.PlateUnsupported, hintEmbassy},
	{"embassy, older", "使224578", problem.PlateUnsupported, hintEmbassy},
	{"embassy with its dot", "使224·578", problem.PlateUnsupported, hintEmbassy},
	{"embassy after its colour", "黑使224578", problem.PlateUnsupported, hintEmbassy},
	{"embassy after a province", "京A0023使", problem.PlateUnsupported, hintEmbassy},
	{"consulate without a province", "领224578", problem.PlateUnsupported, hintEmbassy},
	{"consulate without a province, newer", "224578领", problem.PlateUnsupported, hintEmbassy},
	{"armed police", "WJ0112345", problem.PlateUnsupported, hintPolice},
	{"armed police of a province", "WJ粤12345", problem.PlateUnsupported, hintPolice},
	{"armed police, lower case", "wj粤1234x", problem.PlateUnsupported, hintPolice},
	{"armed police, hyphen", "WJ01-12345", problem.PlateUnsupported, hintPolice},
	{"armed police, full width", "ＷＪ粤１２３４５", problem.PlateUnsupported, hintPolice},
	{"armed police after its colour", "白WJ粤12345", problem.PlateUnsupported, hintPolice},
	{"military", "VA12345", problem.PlateUnsupported, hintMilitary},
	{"military, air force", "KA00001", problem.PlateUnsupported, hintMilitary},
	{"military, dot", "VA·12345", problem.PlateUnsupported, hintMilitary},
	{"military, lower case", "va12345", problem.PlateUnsupported, hintMilitary},
	{"military after its colour", "白色HB12345", problem.PlateUnsupported, hintMilitary},
	{"military, older", "军A12345", problem.PlateUnsupported, hintMilitary},
	{"military, older, navy", "海B12345", problem.PlateUnsupported, hintMilitary},
	{"military, older, region", "广E12345", problem.PlateUnsupported, hintMilitary},
	{"civil aviation", "民航A1234", problem.PlateUnsupported, hintCivilAviation},
	{"civil aviation, dot", "民航·A1234", problem.PlateUnsupported, hintCivilAviation},
	{"civil aviation of a province", "京民航A1234", problem.PlateUnsupported, hintCivilAviation},
	{"Hong Kong", "AB1234", problem.PlateUnsupported, hintHongKongMacau},
	{"Hong Kong, short", "AB1", problem.PlateUnsupported, hintHongKongMacau},
	{"Hong Kong, space", "AB 1234", problem.PlateUnsupported, hintHongKongMacau},
	{"Hong Kong, lower case", "ab1234", problem.PlateUnsupported, hintHongKongMacau},
	{"Hong Kong, named", "港AB1234", problem.PlateUnsupported, hintHongKongMacau},
	{"Macau", "MA1234", problem.PlateUnsupported, hintHongKongMacau},
	{"Macau, hyphens", "MA-12-34", problem.PlateUnsupported, hintHongKongMacau},
	{"Macau, older", "M1234", problem.PlateUnsupported, hintHongKongMacau},
	{"Macau, named", "澳门MA1234", problem.PlateUnsupported, hintHongKongMacau},

	// Placeholders.
	{"no plate", "无牌", problem.PlateUnsupported, hintPlaceholder},
	{"no plate, in full", "无车牌", problem.PlateUnsupported, hintPlaceholder},
	{"no plate, underscores", "_无_", problem.PlateUnsupported, hintPlaceholder},
	{"no plate, numbered", "无牌车001", problem.PlateUnsupported, hintPlaceholder},
	{"no plate after a province", "粤无牌12345", problem.PlateUnsupported, hintPlaceholder},
	{"none", "无", problem.PlateUnsupported, hintPlaceholder},
	{"unknown", "未知", problem.PlateUnsupported, hintPlaceholder},
	{"unknown plate", "未知车牌", problem.PlateUnsupported, hintPlaceholder},
	{"not recognised", "未识别", problem.PlateUnsupported, hintPlaceholder},
	{"temporary", "临时", problem.PlateUnsupported, hintPlaceholder},
	{"temporary car", "临时车0001", problem.PlateUnsupported, hintPlaceholder},
	{"temporary after a province", "粤B临时001", problem.PlateUnsupported, hintPlaceholder},
	{"temporary, numbered", "临A12345", problem.PlateUnsupported, hintPlaceholder},
	{"the word plate", "车牌", problem.PlateUnsupported, hintPlaceholder},
	{"the word plate, numbered", "车牌12345", problem.PlateUnsupported, hintPlaceholder},
	{"a colour and no plate", "蓝无车牌", problem.PlateUnsupported, hintPlaceholder},
	{"English unknown", "unknown", problem.PlateUnsupported, hintPlaceholder},
	{"English no plate", "NO PLATE", problem.PlateUnsupported, hintPlaceholder},
	{"English none", "None", problem.PlateUnsupported, hintPlaceholder},
	{"not available", "N/A", problem.PlateUnsupported, hintPlaceholder},
	{"null", "null", problem.PlateUnsupported, hintPlaceholder},
	{"zero", "0", problem.PlateUnsupported, hintPlaceholder},
	{"zeros", "0000000", problem.PlateUnsupported, hintPlaceholder},
	{"ones", "1111111", problem.PlateUnsupported, hintPlaceholder},
	{"hyphens", "------", problem.PlateUnsupported, hintPlaceholder},
	{"asterisks", "*******", problem.PlateUnsupported, hintPlaceholder},
	{"question marks", "???", problem.PlateUnsupported, hintPlaceholder},
}

func TestCheckRefuses(t *testing.T) {
	for _, test := range refused {
		t.Run(test.name, func(t *testing.T) {
			code, hint, ok := Check(test.plate)
			if ok || code != test.code || hint != test.hint {
				t.Errorf("Check(%q): got %q, %q, %v; want %q, %q, false", test.plate, code, hint, ok, test.code, test.hint)
			}
		})
	}
}

// TestHints keeps every hint a plain English sentence of its own, in which no
// plate can be repeated because nothing is ever inserted.
func TestHints(t *testing.T) {
	sentence := regexp.MustCompile(`^[A-Z][ -~]*[a-z0-9Z]\.$`)
	seen := map[string]bool{}
	for _, test := range refused {
		if seen[test.hint] {
			continue
		}
		seen[test.hint] = true
		if !sentence.MatchString(test.hint) || strings.Count(test.hint, ".") != 1 {
			t.Errorf("hint %q: want one sentence in ASCII", test.hint)
		}
	}
	if got, want := len(seen), 22; got != want {
		t.Errorf("hints in the table: got %d, want every one of %d", got, want)
	}
}

// shape is the rule once more, said in another way.
var shape = regexp.MustCompile(`^[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z0-9\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}]{6,7}$`)

// TestCheckAcceptsTheRule draws plates from the rule; only the words that make
// another kind of a plate are kept out, by drawing the few characters that
// real plates have.
func TestCheckAcceptsTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plate := rapid.StringMatching(`[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z0-9警学领挂港澳试超]{6,7}`).Draw(t, "plate")
		if code, hint, ok := Check(plate); !ok {
			t.Fatalf("Check(%q): got %q, %q; want it accepted", plate, code, hint)
		}
	})
}

// TestCheckRefusesOneMutation breaks a good plate in one place.
func TestCheckRefusesOneMutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		good := []rune(rapid.StringMatching(`[京沪粤黑新][A-Z][A-Z0-9]{5,6}`).Draw(t, "plate"))
		at := rapid.IntRange(0, len(good)).Draw(t, "at")
		bad := rapid.SampledFrom([]rune("a·•-_ \t１Ａ*?/<🚗の\x00")).Draw(t, "inserted")
		plate := string(good[:at]) + string(bad) + string(good[at:])
		if _, _, ok := Check(plate); ok {
			t.Fatalf("Check(%q): got it accepted, want it refused", plate)
		}
	})
}

func FuzzCheck(f *testing.F) {
	for _, test := range accepted {
		f.Add(test.plate)
	}
	for _, test := range refused {
		f.Add(test.plate)
	}
	f.Fuzz(func(t *testing.T, plate string) {
		code, hint, ok := Check(plate)
		if ok {
			if code != "" || hint != "" || !shape.MatchString(plate) {
				t.Errorf("Check(%q): got accepted with %q, %q; want only what has the shape", plate, code, hint)
			}
			return
		}
		if code != problem.PlateMalformed && code != problem.PlateUnsupported {
			t.Errorf("Check(%q): got code %q", plate, code)
		}
		if hint == "" {
			t.Errorf("Check(%q): got no hint, want one", plate)
		}
		if code == problem.PlateMalformed && shape.MatchString(plate) && hint != hintColour && hint != hintFullName {
			t.Errorf("Check(%q): got %q for a plate that has the shape", plate, hint)
		}
	})
}
