//go:build browser

package console_test

import (
	"testing"

	"github.com/chromedp/chromedp"
)

func TestLook(t *testing.T) {
	p := open(t, desktop)
	p.until(`document.querySelector('#connection').dataset.state === 'live'`)
	p.do(chromedp.Click(chromedp.CSS(`[data-action="visit"]`)))
	p.until(`document.querySelectorAll('.row.step').length >= 10 && document.querySelector('[data-action="visit"]').getAttribute('aria-busy') === null`)
	p.shot("light")
	p.do(chromedp.Click(chromedp.CSS(`.row[data-subject="circle_event"] .message`)))
	p.until(`!document.querySelector('#detail').hidden`)
	p.shot("detail")
	zh := open(t, look{width: 1440, height: 900, language: "zh-CN", dark: true, still: true})
	zh.until(`document.querySelectorAll('.row').length >= 20`)
	zh.shot("dark")
	m := open(t, look{width: 390, height: 844, language: "en-US", still: true, mobile: true})
	m.until(`document.querySelectorAll('.row').length >= 20`)
	m.shot("mobile")
}
