// Package plate is the one rule of what a plate number is, for every route.
//
// The rooms that read a plate from a vendor may import it; it imports problem
// for the codes and nothing else. It judges and explains, and never repairs: a
// plate that is changed silently is another car's. Its hints name the kind of
// mistake and never repeat the plate, so they may be answered and logged.
//
// Sources: WeChat Pay's field rules (plate_number of businesscircle/parkings
// and of vehicle/partnerpay/notification: the province's character first, then
// upper-case letters, digits and Chinese characters, no separators) and the
// plates on the road, GA 36-2018: seven characters, eight for new energy.
package plate

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"wechat-parking-gateway/shared/problem"
)

// minLength and maxLength count characters, not bytes.
const (
	minLength = 7
	maxLength = 8
)

// provinces are the 31 characters that begin a plate of mainland China.
const provinces = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"

// The hints of PlateMalformed.
const (
	hintUTF8        = "The plate number must be encoded in UTF-8."
	hintEmpty       = "The plate number is empty."
	hintFullWidth   = "Write letters and digits in their ordinary half-width form, not full width."
	hintDot         = "Leave out the dot between the characters."
	hintSpace       = "Leave out spaces and invisible characters."
	hintHyphen      = "Leave out hyphens, dashes and underscores."
	hintLowerCase   = "Write every letter in upper case."
	hintLookAlike   = "A letter belongs to another alphabet and only looks like one of A-Z."
	hintMask        = "A character was not recognised or is masked, and WeChat Pay needs the whole plate number."
	hintColour      = "Leave out the plate's colour or any other word before the province character."
	hintTraditional = "Write the province character in its simplified form."
	hintFullName    = "Write the province as its one-character abbreviation, not as its full name."
	hintProvince    = "The first character must be the one-character abbreviation of a province of mainland China."
	hintCharacter   = "After the province character only A-Z, 0-9 and Chinese characters may stand."
	hintTooShort    = "The plate number is too short because it must have 7 characters, or 8 for new energy."
	hintTooLong     = "The plate number is too long because it must have 7 characters, or 8 for new energy."
)

// The hints of PlateUnsupported.
const (
	hintPlaceholder   = "This stands for a car without a permanent plate number, which WeChat Pay cannot take."
	hintEmbassy       = "WeChat Pay does not take plates of embassies, nor of consulates that lack a province character."
	hintPolice        = "WeChat Pay does not take plates of the armed police."
	hintMilitary      = "This looks like a military plate, which WeChat Pay does not take; a civil plate begins with a province character."
	hintCivilAviation = "WeChat Pay does not take plates of civil aviation."
	hintHongKongMacau = "This looks like a plate of Hong Kong or Macau alone, which WeChat Pay does not take; a mainland plate begins with a province character."
)

// Check judges a plate number as a vendor sent it. When ok is false, code is
// problem.PlateMalformed for what can be written better and
// problem.PlateUnsupported for what WeChat Pay does not take however it is
// written, and hint is one plain sentence for the caller.
//
// Accepted is one of the 31 province characters followed by 6 or 7 of A-Z, 0-9
// and Chinese characters. I and O are allowed, and nothing is asked of a
// position: plates on the road break every narrower rule. Of what has this
// shape only the unsupported kinds and placeholders are refused, and a colour
// (黑粤…) or a province's full name (云南…) that passes for a plate by chance.
func Check(plate string) (code problem.FieldCode, hint string, ok bool) {
	if !utf8.ValidString(plate) {
		return problem.PlateMalformed, hintUTF8, false
	}
	if hint := unsupported(plate); hint != "" {
		return problem.PlateUnsupported, hint, false
	}
	if hint := malformed(plate); hint != "" {
		return problem.PlateMalformed, hint, false
	}
	return "", "", true
}

// malformed returns the hint for the first mistake in the plate's form, or "".
// How the characters are written is judged before which they are, so that a
// caller who follows one hint after the other arrives.
func malformed(plate string) string {
	if plate == "" {
		return hintEmpty
	}
	if hint := misspelt(plate); hint != "" {
		return hint
	}
	if frontWord(plate) != "" {
		return hintColour
	}
	first, size := utf8.DecodeRuneInString(plate)
	switch {
	case traditionalProvince(first):
		return hintTraditional
	case hasFullProvinceName(plate):
		return hintFullName
	case !isProvince(first):
		return hintProvince
	}
	for _, r := range plate[size:] {
		if !isPlateCharacter(r) {
			return hintCharacter
		}
	}
	switch n := utf8.RuneCountInString(plate); {
	case n < minLength:
		return hintTooShort
	case n > maxLength:
		return hintTooLong
	}
	return ""
}

// misspelt returns the hint for the first way in which single characters are
// written wrongly, or "".
func misspelt(plate string) string {
	for _, mistake := range [...]struct {
		is   func(rune) bool
		hint string
	}{
		{isFullWidth, hintFullWidth},
		{isDot, hintDot},
		{isSpace, hintSpace},
		{isHyphen, hintHyphen},
		{isMask, hintMask},
		{isLowerCase, hintLowerCase},
		{isForeignLetter, hintLookAlike},
	} {
		if strings.ContainsFunc(plate, mistake.is) {
			return mistake.hint
		}
	}
	return ""
}

func isProvince(r rune) bool { return strings.ContainsRune(provinces, r) }

func isPlateCharacter(r rune) bool { return isUpper(r) || isDigit(r) || isHan(r) }

func isUpper(r rune) bool { return 'A' <= r && r <= 'Z' }

func isLowerCase(r rune) bool { return 'a' <= r && r <= 'z' }

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

// isHan accepts the unified ideographs of the Basic Multilingual Plane.
// WeChat Pay takes no character beyond that plane, and radicals and
// compatibility forms are other ways to write the same ideograph.
func isHan(r rune) bool {
	return '\u4E00' <= r && r <= '\u9FFF' || '\u3400' <= r && r <= '\u4DBF'
}

// isFullWidth accepts the full-width letters and digits. Full-width dots,
// spaces and hyphens have their own hints.
func isFullWidth(r rune) bool {
	return '０' <= r && r <= '９' || 'Ａ' <= r && r <= 'Ｚ' || 'ａ' <= r && r <= 'ｚ'
}

// isDot accepts whatever people and cameras put after the second character.
func isDot(r rune) bool {
	switch r {
	case '.', '·', '•', '・', '･', '‧', '∙', '⋅', '●', '▪', '。', '．', '｡', '˙', '°', 'ㆍ', '᛫', '⸱', '﹒':
		return true
	}
	return false
}

func isSpace(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

func isHyphen(r rune) bool {
	return r == '_' || r == '＿' || r == '−' || r == '~' || r == '～' || unicode.Is(unicode.Pd, r)
}

// isMask accepts what stands for a character that nobody read.
func isMask(r rune) bool {
	switch r {
	case '*', '＊', '?', '？', '×', '#', '＃', '□', '■', '\uFFFD':
		return true
	}
	return false
}

// isForeignLetter accepts letters that are neither Latin nor Chinese, such as
// a Cyrillic or Greek A.
func isForeignLetter(r rune) bool {
	return unicode.In(r, unicode.Cyrillic, unicode.Greek)
}

// traditionalProvince reports whether r is a province character as it is
// written in Hong Kong, Macau and Taiwan.
func traditionalProvince(r rune) bool {
	return strings.ContainsRune("滬雲遼魯蘇贛晉陝閩貴粵瓊寧", r)
}

// hasFullProvinceName reports whether the plate begins with a province's name.
// Some names begin with the abbreviation itself and would pass for a plate.
func hasFullProvinceName(plate string) bool {
	return hasAnyPrefix(plate,
		"北京", "天津", "上海", "重庆", "河北", "河南", "云南", "辽宁", "黑龙江", "湖南",
		"安徽", "山东", "新疆", "江苏", "浙江", "江西", "湖北", "广西", "甘肃", "山西",
		"内蒙古", "陕西", "吉林", "福建", "贵州", "广东", "青海", "西藏", "四川", "宁夏", "海南")
}

// frontWord returns the words before a province character, such as a colour,
// or "". 黑 is a colour and a province, 新 begins a word and is a province: they
// are words in front only where a province character follows.
func frontWord(plate string) string {
	rest, cut := cutFrontWord(plate)
	for ; cut; rest, cut = cutFrontWord(rest) {
		if first, _ := utf8.DecodeRuneInString(rest); isProvince(first) || traditionalProvince(first) {
			return plate[:len(plate)-len(rest)]
		}
	}
	return ""
}

// cutFrontWord cuts one of the words that cameras and forms put before a
// plate; a word stands before its own beginnings.
func cutFrontWord(plate string) (rest string, cut bool) {
	return cutAnyPrefix(plate,
		"新能源", "渐变", "黄绿", "蓝", "黄", "绿", "白", "黑", "红", "渐", "底", "色",
		"车牌号码", "车牌号", "车牌", "号牌", "牌照", "牌", ":", "：")
}

func cutAnyPrefix(s string, prefixes ...string) (rest string, cut bool) {
	for _, prefix := range prefixes {
		if rest, cut = strings.CutPrefix(s, prefix); cut {
			return rest, true
		}
	}
	return s, false
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	_, cut := cutAnyPrefix(s, prefixes...)
	return cut
}
