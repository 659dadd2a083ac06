package main

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/perf/benchmath"
)

//go:embed page.md
var pageText string

// page is what the page's text is filled with.
type page struct {
	measurement
	Budgets  []judgement
	Model    []modelRow
	Template []string // the functions' sizes in template.yaml, as text
	Date     string
	Counts   counts
	First    float64 // MiB at the beginning and at the end of the long run
	Last     float64
}

// counts says how much was measured.
type counts struct {
	Rounds, Starts, Warm, Invocations int
	Lasts                             time.Duration
}

type modelRow struct {
	cpuResult
	Sizes   []modelled
	Advised float64
}

// writePage writes docs/performance.md and the plots in docs/performance/.
func writePage(s settings, m measurement, judged []judgement) error {
	p := page{measurement: m, Budgets: judged, Date: s.began.UTC().Format(time.DateOnly), Counts: counts{s.rounds, s.starts, s.warm, s.invocations, s.lasts}}
	p.First, p.Last = m.Memory.ends()
	for _, c := range withStarts(m.CPU, m.Starts) {
		sizes := model(c)
		p.Model = append(p.Model, modelRow{c, sizes, advised(sizes)})
	}
	memory, err := templateMemory(s.root)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(memory)) {
		p.Template = append(p.Template, fmt.Sprintf("%d MB for %s", memory[id], id))
	}
	docs := filepath.Join(s.root, "docs")
	if err := drawAll(filepath.Join(docs, "performance"), p); err != nil {
		return err
	}
	text, err := p.text()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, "performance.md"), []byte(text), 0o644)
}

func (p page) text() (string, error) {
	t, err := template.New("page").Funcs(template.FuncMap{
		"met": met, "micros": func(s benchmath.Summary) string { return fmt.Sprintf("%.2f", s.Center/1000) },
		"f1": func(v float64) string { return fmt.Sprintf("%.1f", v) }, "f2": func(v float64) string { return fmt.Sprintf("%.2f", v) },
		"f3": func(v float64) string { return fmt.Sprintf("%.3f", v) }, "f0": func(v float64) string { return fmt.Sprintf("%.0f", v) },
		"mb":       func(n int64) string { return fmt.Sprintf("%.2f", float64(n)/1e6) },
		"interval": func(s benchmath.Summary) string { return fmt.Sprintf("%.2f [%.2f, %.2f]", s.Center, s.Lo, s.Hi) },
		"sum":      initSum, "dearest": dearest, "kb": func(n int) string { return fmt.Sprintf("%.1f", float64(n)/1024) },
		"top": func(n int, all []moduleSize) []moduleSize { return all[:min(n, len(all))] },
		"of": func(m moduleSize, function string) string {
			if m.Bytes[function] == 0 {
				return ""
			}
			return fmt.Sprintf("%.2f", float64(m.Bytes[function])/1e6)
		},
		"div": func(a, b float64) float64 { return a / b }, "minus": func(a, b float64) float64 { return a - b },
		"seconds": func(d time.Duration) int { return int(d.Seconds()) },
	}).Parse(pageText)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, p)
	return b.String(), err
}

// initSum adds up what the packages of one function cost.
func initSum(all []packageInit) packageInit {
	sum := packageInit{Package: "all of them"}
	for _, i := range all {
		sum.Clock, sum.Bytes, sum.Allocs = sum.Clock+i.Clock, sum.Bytes+i.Bytes, sum.Allocs+i.Allocs
	}
	return sum
}

// dearest returns the n packages that allocate the most.
func dearest(n int, all []packageInit) []packageInit {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b packageInit) int { return b.Bytes - a.Bytes })
	return sorted[:min(n, len(sorted))]
}

func drawAll(folder string, p page) error {
	var names []string
	var ratios []float64
	for _, r := range p.Micro {
		names, ratios = append(names, r.Micro.What), append(ratios, r.Floors[0].Ratio.Center)
	}
	if err := writeBars(filepath.Join(folder, "ratios.svg"), "Times the floor (1 = nothing but the floor)", "ratio", names, ratios); err != nil {
		return err
	}
	names, ratios = nil, nil
	for _, s := range p.Starts {
		names, ratios = append(names, s.Function), append(ratios, s.FirstNext.Center)
	}
	if err := writeBars(filepath.Join(folder, "starts.svg"), "Exec to the first request for an invocation", "ms, median", names, ratios); err != nil {
		return err
	}
	if err := writeLines(filepath.Join(folder, "memory.svg"), "Resident memory of one sandbox", "invocations", "MiB", true,
		line{"", p.Memory.Invocations, p.Memory.MiB}); err != nil {
		return err
	}
	var lines []line
	for _, r := range routes {
		l := line{name: r.name}
		for _, x := range p.Load {
			if x.Route == r.name {
				l.x, l.y = append(l.x, float64(x.Arrivals)), append(l.y, x.P95)
			}
		}
		lines = append(lines, l)
	}
	if err := writeLines(filepath.Join(folder, "load.svg"), "95th percentile under load", "arrivals a second", "ms", true, lines...); err != nil {
		return err
	}
	lines = nil
	for _, row := range p.Model {
		l := line{name: row.Route}
		for _, m := range row.Sizes {
			l.x, l.y = append(l.x, m.Memory), append(l.y, m.WarmCPU)
		}
		lines = append(lines, l)
	}
	return writeLines(filepath.Join(folder, "sizes.svg"), "Processor time of a warm request, by memory size", "MB", "ms", true, lines...)
}
