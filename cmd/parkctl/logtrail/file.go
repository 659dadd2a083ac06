package logtrail

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// maxLine is the longest line that is read, which is the longest that CloudWatch Logs takes.
const maxLine = 1 << 20

// File is the log of a local stack: lines with the function's logical id in front.
type File struct{ Path string }

// Find reads the file from its beginning.
func (f File) Find(ctx context.Context, _ time.Time, ids []string) ([]Line, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("the local stack's log: %w (name it with --function-log)", err)
	}
	defer file.Close()
	var found []Line
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		function, text, ok := strings.Cut(lines.Text(), ": ")
		if !ok || !holdsAny(text, ids) {
			continue
		}
		if l, ok := parse(strings.ToLower(strings.TrimSuffix(function, "Function")), text); ok {
			found = append(found, l)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("the local stack's log: %w", err)
	}
	return found, nil
}
