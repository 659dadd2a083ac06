package gateway_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/rooms.svg and the table in docs/architecture.md anew")

// rooms returns what each room imports of the others.
func rooms(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, p := range list(t, "./shared/...", "./functions/...") {
		room := strings.TrimPrefix(p.ImportPath, module)
		if strings.Contains(room, "/internal/") {
			continue
		}
		found[room] = []string{}
		for _, imported := range p.Imports {
			if below, ours := strings.CutPrefix(imported, module); ours && !strings.Contains(below, "/internal/") {
				found[room] = append(found[room], below)
			}
		}
	}
	return found
}

// reaches says whether one room imports another over at least one more.
func reaches(imports map[string][]string, from, to string) bool {
	return slices.ContainsFunc(imports[from], func(between string) bool {
		return between != to && (slices.Contains(imports[between], to) || reaches(imports, between, to))
	})
}

const (
	roomWidth, roomHeight   = 104, 30
	floorHeight, floorInset = 112, 24
)

// picture draws the floors, the highest at the top. An arrow that others lead to as well is left out.
func picture(imports map[string][]string) []byte {
	widest := 0
	for _, floor := range floors {
		widest = max(widest, len(floor))
	}
	width, height := widest*(roomWidth+12)+2*floorInset, len(floors)*floorHeight
	at := map[string][2]int{}
	for i, floor := range floors {
		gap := (width - 2*floorInset) / len(floor)
		for j, room := range floor {
			at[room] = [2]int{floorInset + gap*j + gap/2, (len(floors)-1-i)*floorHeight + floorHeight/2}
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="title">
<title id="title">The rooms on their floors. An arrow goes from a room to one that it imports.</title>
<style>
text{font:13px system-ui,sans-serif;text-anchor:middle;fill:#1f2328}.page{fill:#fff}.floor{fill:#f6f8fa}.room{fill:#fff;stroke:#57606a}.function{fill:#ddf4ff;stroke:#0969da}
.arrow{fill:none;stroke:#57606a;stroke-opacity:.7}.tip{fill:#57606a}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.floor{fill:#161b22}.room{fill:#0d1117;stroke:#9198a1}.function{fill:#0c2d6b;stroke:#58a6ff}
.arrow{stroke:#9198a1}.tip{fill:#9198a1}}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>
<rect class="page" width="%d" height="%d"/>
`, width, height, width, height)
	for i := range floors {
		fmt.Fprintf(&b, `<rect class="floor" x="4" y="%d" width="%d" height="%d" rx="8"/>`+"\n", i*floorHeight+12, width-8, floorHeight-24)
	}
	for _, floor := range slices.Backward(floors) {
		for _, room := range floor {
			for _, below := range imports[room] {
				if reaches(imports, room, below) {
					continue
				}
				from, to := at[room], at[below]
				y1, y2 := from[1]+roomHeight/2, to[1]-roomHeight/2
				fmt.Fprintf(&b, `<path class="arrow" d="M%d %dC%d %d %d %d %d %d" marker-end="url(#tip)"/>`+"\n",
					from[0], y1, from[0], y1+36, to[0], y2-36, to[0], y2)
			}
		}
	}
	for _, floor := range slices.Backward(floors) {
		for _, room := range floor {
			kind, name, _ := strings.Cut(room, "/")
			class := "room"
			if kind == "functions" {
				class = "function"
			}
			fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="5"/><text x="%d" y="%d">%s</text>`+"\n",
				class, at[room][0]-roomWidth/2, at[room][1]-roomHeight/2, roomWidth, roomHeight, at[room][0], at[room][1]+5, name)
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// table says the same in words, between the marks that docs/architecture.md has for it.
func table(imports map[string][]string) string {
	var b strings.Builder
	b.WriteString("<!-- rooms: go test . -run TestRooms -update -->\n\n| floor | room | imports |\n|---|---|---|\n")
	for i, floor := range slices.Backward(floors) {
		for _, room := range floor {
			below := "none"
			if names := imports[room]; len(names) > 0 {
				below = strings.ReplaceAll(strings.Join(names, ", "), "shared/", "")
			}
			fmt.Fprintf(&b, "| %d | `%s` | %s |\n", i+1, room, below)
		}
	}
	b.WriteString("\n<!-- end of rooms -->")
	return b.String()
}

// TestRooms: the picture and the table of the rooms are those of the floors and of the imports.
func TestRooms(t *testing.T) {
	imports := rooms(t)
	const svg, page = "docs/rooms.svg", "docs/architecture.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), "<!-- rooms:")
	_, after, closed := strings.Cut(rest, "<!-- end of rooms -->")
	if !found || !closed {
		t.Fatalf("%s has no marks for the table of rooms", page)
	}
	want := map[string]string{svg: string(picture(imports)), page: before + table(imports) + after}
	for name, text := range want {
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != text {
			t.Errorf("%s shows other rooms than architecture_test.go and the imports: go test . -run TestRooms -update", name)
		}
	}
}
