package main

import (
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// The plots' colours, which colour-blind people can tell apart: https://jfly.uni-koeln.de/color/
var colours = []color.Color{
	color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}, color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff},
	color.RGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff}, color.RGBA{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff},
}

// newPlot returns an empty plot whose letters have no serifs.
func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	for _, text := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font,
	} {
		text.Typeface, text.Variant = "Liberation", "Sans"
	}
	p.Title.Padding, p.Legend.Padding = vg.Points(6), vg.Points(2)
	return p
}

// line is one named line of a plot.
type line struct {
	name string
	x, y []float64
}

// writeLines draws lines into an SVG file.
func writeLines(path, title, x, y string, fromZero bool, lines ...line) error {
	p := newPlot(title)
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	for i, l := range lines {
		points := make(plotter.XYs, len(l.x))
		for j := range l.x {
			points[j].X, points[j].Y = l.x[j], l.y[j]
		}
		drawn, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		drawn.Color, marks.Color = colours[i%len(colours)], colours[i%len(colours)]
		drawn.Width = vg.Points(1.5)
		p.Add(drawn)
		if len(points) < 20 {
			p.Add(marks)
		}
		if l.name != "" {
			p.Legend.Add(l.name, drawn)
		}
	}
	if fromZero {
		p.Y.Min = 0
		p.Y.Max *= 1.25 // room for the legend
	}
	return save(p, path, 6*vg.Inch, 3.2*vg.Inch)
}

// writeBars draws horizontal bars, the first at the top, into an SVG file.
func writeBars(path, title, x string, names []string, values []float64) error {
	p := newPlot(title)
	p.X.Label.Text = x
	upwards := make(plotter.Values, len(values))
	labels := make([]string, len(names))
	for i := range values {
		upwards[len(values)-1-i], labels[len(names)-1-i] = values[i], names[i]
	}
	bars, err := plotter.NewBarChart(upwards, vg.Points(12))
	if err != nil {
		return err
	}
	bars.Horizontal, bars.Color, bars.LineStyle.Width = true, colours[0], 0
	p.Add(bars)
	p.NominalY(labels...)
	p.X.Min = 0
	return save(p, path, 6.5*vg.Inch, vg.Length(len(values))*0.27*vg.Inch+vg.Inch)
}

func save(p *plot.Plot, path string, width, height vg.Length) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return p.Save(width, height, path)
}
