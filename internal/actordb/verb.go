package actordb

import "strings"

// verb is the first word of a statement if it is one that Tx runs itself, in capitals; empty for all others.
func verb(sql string) string {
	word, rest := firstWord(sql)
	switch strings.ToUpper(word) {
	case "BEGIN", "COMMIT", "END", "VACUUM":
		return strings.ToUpper(word)
	case "ROLLBACK":
		// ROLLBACK [TRANSACTION] TO x is about a savepoint of the user's own.
		next, rest := firstWord(rest)
		if strings.EqualFold(next, "TRANSACTION") {
			next, _ = firstWord(rest)
		}
		if strings.EqualFold(next, "TO") {
			return ""
		}
		return "ROLLBACK"
	}
	return ""
}

// firstWord is the first word of a statement behind blanks, comments and empty statements, and what follows it.
func firstWord(sql string) (word, rest string) {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n\f\ufeff;")
		switch {
		case strings.HasPrefix(sql, "--"):
			_, after, ok := strings.Cut(sql, "\n")
			if !ok {
				return "", ""
			}
			sql = after
		case strings.HasPrefix(sql, "/*"):
			_, after, ok := strings.Cut(sql[2:], "*/")
			if !ok {
				return "", ""
			}
			sql = after
		default:
			n := 0
			for n < len(sql) && (sql[n]|0x20 >= 'a' && sql[n]|0x20 <= 'z' || sql[n] == '_') {
				n++
			}
			return sql[:n], sql[n:]
		}
	}
}

// afterStatement is what follows a statement that Tx runs itself: none of them holds a semicolon.
func afterStatement(sql string) string {
	word, rest := firstWord(sql)
	if word == "" {
		return ""
	}
	_, after, _ := strings.Cut(rest, ";")
	return after
}

// isAlter reports whether a statement is an ALTER TABLE.
func isAlter(sql string) bool {
	word, _ := firstWord(sql)
	return strings.EqualFold(word, "ALTER")
}

// isSavepoint reports whether a statement is about a savepoint of the user's own.
func isSavepoint(sql string) bool {
	word, _ := firstWord(sql)
	return strings.EqualFold(word, "SAVEPOINT") || strings.EqualFold(word, "RELEASE") || strings.EqualFold(word, "ROLLBACK")
}
