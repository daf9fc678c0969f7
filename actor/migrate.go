package actor

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/rivetgo/rivet/internal/host"
)

// readMigrations reads the numbered migrations of a file system, in order, and says what is wrong with them.
func readMigrations(files fs.FS) (all []host.Migration, wrong []string) {
	if files == nil {
		return nil, nil
	}
	seen := make(map[int64]string)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".sql" {
			return err
		}
		base := path.Base(name)
		digits, _, ok := strings.Cut(strings.TrimSuffix(base, ".sql"), "_")
		number, err := strconv.ParseInt(digits, 10, 64)
		if !ok || err != nil || number < 1 {
			wrong = append(wrong, fmt.Sprintf("Spec.Migrations has a file %s: name it by a number above 0 and what it does, as 0001_init.sql", name))
			return nil
		}
		if first, twice := seen[number]; twice {
			wrong = append(wrong, fmt.Sprintf("Spec.Migrations has %s and %s with the same number: give one another", first, name))
			return nil
		}
		seen[number] = name
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		all = append(all, host.Migration{Number: number, Name: base, SQL: string(text), Sum: sha256.Sum256(text)})
		return nil
	})
	if err != nil {
		wrong = append(wrong, fmt.Sprintf("Spec.Migrations cannot be read: %v", err))
	}
	if len(all) == 0 && len(wrong) == 0 {
		wrong = append(wrong, "Spec.Migrations holds no .sql file")
	}
	slices.SortFunc(all, func(a, b host.Migration) int { return cmp.Compare(a.Number, b.Number) })
	return all, wrong
}
