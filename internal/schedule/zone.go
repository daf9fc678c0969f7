package schedule

import (
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones, wherever the program runs
)

// maxZoneName is longer than the longest IANA name.
const maxZoneName = 64

// zones caches what loadZone found: at most the few hundred names that exist.
var zones sync.Map // string → *time.Location

// zoneName is the name that an empty timezone stands for, or timezone.
func zoneName(timezone string) string {
	if timezone == "" {
		return "UTC"
	}
	return timezone
}

func loadZone(timezone string) (*time.Location, error) {
	name := zoneName(timezone)
	if name == "UTC" {
		return time.UTC, nil
	}
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	if !plausibleZone(name) {
		return nil, invalidTimezone(toValid(name))
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, invalidTimezone(name)
	}
	zones.Store(name, z)
	return z, nil
}

// plausibleZone refuses what a system's zone folder may hold and IANA has no zone for: the machine's own zone, whose
// meaning changes with the machine, and the copies that count leap seconds.
func plausibleZone(name string) bool {
	if len(name) > maxZoneName || strings.HasPrefix(name, "posix/") || strings.HasPrefix(name, "right/") {
		return false
	}
	switch name {
	case "Local", "localtime", "posixrules", "Factory":
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("_+-/", c) >= 0:
		default:
			return false
		}
	}
	return true
}
