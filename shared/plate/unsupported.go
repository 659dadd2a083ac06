package plate

import (
	"strings"
	"unicode/utf8"
)

// unsupported returns the hint for a kind of plate that WeChat Pay does not
// take, or "". It looks through separators, case, full width and words in
// front, because writing such a plate better would not help its sender.
func unsupported(plate string) string {
	bare := fold(plate)
	bare = strings.TrimPrefix(bare, frontWord(bare))
	if isPlaceholder(plate, bare) {
		return hintPlaceholder
	}
	first, _ := utf8.DecodeRuneInString(bare)
	switch {
	case strings.ContainsRune(bare, '使'):
		return hintEmbassy
	case strings.Contains(bare, "民航"):
		return hintCivilAviation
	case isProvince(first):
		return ""
	}
	for cut := true; cut; {
		bare, cut = cutFrontWord(bare)
	}
	switch {
	case strings.ContainsRune(bare, '领'):
		return hintEmbassy
	case hasAnyPrefix(bare, "WJ", "武警"):
		return hintPolice
	case isMilitary(bare):
		return hintMilitary
	case isHongKongOrMacau(bare):
		return hintHongKongMacau
	}
	return ""
}

// fold returns the plate as its sender may have meant it, for recognising its
// kind only: half width, upper case, no separators.
func fold(plate string) string {
	return strings.Map(func(r rune) rune {
		if isDot(r) || isSpace(r) || isHyphen(r) || r == '/' || r == '／' {
			return -1
		}
		if isFullWidth(r) {
			r -= '０' - '0'
		}
		if isLowerCase(r) {
			r -= 'a' - 'A'
		}
		return r
	}, plate)
}

// isPlaceholder reports whether the plate is what cameras and attendants enter
// when there is none to read; bare is the plate folded.
func isPlaceholder(plate, bare string) bool {
	if bare == "" {
		return strings.ContainsFunc(plate, func(r rune) bool { return !isSpace(r) })
	}
	if strings.Trim(bare, "*＊?？×#＃□■\uFFFD") == "" {
		return true
	}
	for _, word := range [...]string{
		"无牌", "无车牌", "无号牌", "没牌", "空牌", "车牌", "号牌", "未知", "未识别", "未上牌", "未悬挂",
		"识别", "临时", "临牌", "暂无", "没有", "污损", "遮挡", "不详", "不明",
	} {
		if strings.Contains(bare, word) {
			return true
		}
	}
	switch bare {
	case "0", "无", "无照", "空", "新车", "默认",
		"UNKNOWN", "UNKNOW", "NONE", "NULL", "NIL", "NA", "NO", "NAN", "EMPTY", "DEFAULT", "UNDEFINED",
		"NOPLATE", "NOPLATENUMBER", "NOTRECOGNIZED", "UNLICENSED", "UNRECOGNIZED", "TEMP", "TEMPORARY", "TEST":
		return true
	}
	return strings.HasPrefix(bare, "临") || isOneCharacterRepeated(bare)
}

// isOneCharacterRepeated accepts such as 0000000, of ASCII only: the Chinese
// characters of a plate are left to the rule.
func isOneCharacterRepeated(bare string) bool {
	return len(bare) > 1 && bare[0] < utf8.RuneSelf && strings.Trim(bare, bare[:1]) == ""
}

// isMilitary accepts the plates since 2012, two letters and five digits, and
// the older ones, the character of an arm or a region before a letter.
func isMilitary(bare string) bool {
	if strings.HasPrefix(bare, "军") {
		return true
	}
	if letters, digits := leadingLetters(bare); letters == 2 && len(digits) == 5 && allDigits(digits) {
		return true
	}
	rest, cut := cutAnyPrefix(bare, "海", "空", "北", "沈", "兰", "济", "南", "广", "成")
	return cut && len(rest) == 6 && isUpper(rune(rest[0])) && allDigits(rest[2:])
}

// isHongKongOrMacau accepts two letters and up to four digits, Macau's older M
// and four digits, and such plates with their place before them.
func isHongKongOrMacau(bare string) bool {
	if hasAnyPrefix(bare, "港", "澳", "香港", "澳门") {
		return true
	}
	letters, digits := leadingLetters(bare)
	if !allDigits(digits) {
		return false
	}
	return letters == 2 && 1 <= len(digits) && len(digits) <= 4 || letters == 1 && bare[0] == 'M' && len(digits) == 4
}

// leadingLetters returns the number of letters A-Z at the start, and the rest.
func leadingLetters(s string) (int, string) {
	rest := strings.TrimLeftFunc(s, isUpper)
	return len(s) - len(rest), rest
}

func allDigits(s string) bool {
	return strings.TrimFunc(s, isDigit) == ""
}
