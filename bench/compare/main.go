// Compare measures the actors of bench/actors against bare baselines, in one run on one machine, and prints ratios.
//
//	go run ./bench/compare                  # all rows
//	go run ./bench/compare -only http,ws    # some
//	go run ./bench/compare -write bench/RESULTS.md
//
// The system under test and each baseline are processes of their own, built by this program; the load comes from this
// process, which shares the machine's cores with them. Each row runs its baseline and the system in turns, several
// rounds, and takes the medians, so that a noisy minute spoils a round and not a ratio.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// row is one line of the table.
type row struct {
	key      string // for -only
	workload string
	baseline string
	reach    string
	run      func(ctx context.Context, b *bench) (result, error)
}

// result is what a row measured.
type result struct {
	base, got string
	ratio     string
	ok        bool
	note      string
}

var rows = []row{
	{"http", "action over HTTP, 1 actor, sequential, p50", "net/http echo", "≤ 1.4 ×", httpSequential},
	{"http", "action over HTTP, 64 actors × 64 clients", "net/http echo", "≥ 0.6 ×", httpParallel},
	{"ws", "action over one WebSocket, sequential, p50", "WebSocket echo", "≤ 1.5 ×", wsSequential},
	{"ws", "actions over 64 WebSockets, 16 in flight each", "WebSocket echo", "≥ 0.5 ×", wsPipelined},
	{"durable", "state-changing action, 64 actors × 64 clients", "min(HTTP echo, Pebble 64 synced writers)", "≥ 0.5 ×", durableMany},
	{"durable", "state-changing action, one actor, 64 clients", "min(HTTP echo, Pebble 64 synced writers)", "≥ 0.5 ×", durableOne},
	{"create", "new key + first action, sequential, p50", "one synced append", "≤ 4 ×", createSequential},
	{"create", "new key + first action, 32 clients", "–", "≥ 3,000/s", createParallel},
	{"wake", "wake a sleeping actor + action, p50", "net/http echo", "≤ 3 ×", wake},
	{"memory", "memory per idle awake actor, 10,000 of them", "–", "≤ 6 KiB", memory},
	{"queue", "messages of 64 senders to one actor, run loop: sent, durable, received, completed", "Pebble 64 synced writers", "≥ 0.4 ×", queueRunLoop},
	{"queue", "the same, handled in turns", "Pebble 64 synced writers", "≥ 0.4 ×", queueHandled},
	{"queue", "the same, and the senders wait for the reply", "Pebble 64 synced writers", "≥ 0.4 ×", queueRequest},
	{"queue", "messages of 64 goroutines of the actor to itself, handled in turns", "Pebble 64 synced writers", "≥ 0.4 ×", queueInside},
	{"sql", "single-row insert per action, durable, 64 actors", "the same library, local files, WAL, synchronous=FULL, 64 databases", "≥ 2.5 ×", sqlInsertMany},
	{"sql", "single-row insert per action, durable, one actor, 64 clients", "the same, one database", "≥ 4 ×", sqlInsertOne},
	{"sql", "1,000 inserts in one turn, rows a second", "the same, one transaction", "≥ 0.5 ×", sqlInsertLoop},
	{"sql", "point select in an action over HTTP, 64 actors × 64 clients", "net/http echo", "≥ 0.5 ×", sqlSelect},
	{"sql", "scan of 100,000 rows, warm, rows a second", "the same, local file, warm", "≥ 0.7 ×", sqlScanWarm},
	{"sql", "the same after a wake", "the same, dropped cache", "≥ 0.3 ×", sqlScanCold},
	{"sql", "memory per awake actor with a small database", "–", "≤ 400 KiB open, ≤ 8 KiB closed", sqlMemory},
	{"sql", "wake + first query, p50", "wake without SQL", "≤ + 3 ms", sqlWake},
	{"schedules", "100,000 schedules of 10,000 sleeping actors over 100 s, after a kill: lateness, p99", "–", "≤ 1 s", scheduleAsleep},
	{"schedules", "the same, actors awake", "–", "≤ 250 ms", scheduleAwake},
	{"density", "1,000 sleeping actors in one store", "–", "–", density1k},
	{"density", "100,000 sleeping actors: wake + action, p50", "the same of 1,000", "≤ 2 ×", density100k},
	{"million", "1,000,000 sleeping actors: wake + action, p50", "the same of 1,000", "≤ 2 ×", density1M},
	{"engine", "under the official engine: action over HTTP, sequential, p50", "official TypeScript actors under the same engine", "≤ 1 ×", engineLatency(300, "counter", "echo", "1", oneKey, 1)},
	{"engine", "the same: actions of 64 clients, 64 actors", "as above", "≥ 1 ×", engineRate("counter", 64, "echo", "1", 1)},
	{"engine", "the same: durable actions, 64 actors × 64 clients", "as above", "≥ 2 ×", engineRate("counter", 64, "incDurable", "1", 2)},
	{"engine", "the same: durable actions, one actor, 64 clients", "as above", "≥ 2 ×", engineRate("counter", 1, "incDurable", "1", 2)},
	{"engine", "the same: durable action over one WebSocket, p50", "as above", "≤ 0.5 ×", engineSocket},
	{"engine", "the same: new key + first action, p50", "as above", "≤ 1 ×", engineLatency(60, "counter", "get", "", newKey, 1)},
	{"engine", "the same: single-row insert per action, durable, 64 actors", "as above", "≥ 2 ×", engineRate("sql", 64, "insert", `"`+sqlRow+`"`, 2)},
	{"engine", "the same: single-row insert per action, durable, one actor, 64 clients", "as above", "≥ 2 ×", engineRate("sql", 1, "insert", `"`+sqlRow+`"`, 2)},
	{"engine", "the same: 1,000 inserts in one action, rows a second", "as above", "≥ 2 ×", engineLoop},
	{"engine", "the same: point select per action, 64 actors × 64 clients", "as above", "≥ 2 ×", engineRate("sql", 64, "select", "1", 2)},
	{"fanout", "one event to 1,000 connections", "bare fan-out", "≥ 0.6 ×", fanout},
}

// optional are the keys of rows that only run when asked for: they take minutes and gigabytes, or packages from npm.
var optional = []string{"million", "engine"}

func main() {
	only := flag.String("only", "", "comma-separated keys of rows to run: http, ws, durable, create, wake, memory, queue, sql, schedules, density, million, engine, fanout; all but million and engine")
	match := flag.String("match", "", "run only rows whose workload has this text")
	write := flag.String("write", "", "file to write the table to")
	rounds := flag.Int("rounds", 5, "rounds per row; medians are taken over them")
	span := flag.Duration("span", time.Second, "length of one throughput measurement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only, *match, *write, *rounds, *span); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only, match, write string, rounds int, span time.Duration) error {
	b, err := newBench(rounds, span)
	if err != nil {
		return err
	}
	defer b.close()
	var keys []string
	if only != "" {
		keys = strings.Split(only, ",")
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| Workload | Baseline | Baseline's figure | Ours | Ratio | Reach | Met |\n|---|---|---:|---:|---:|---:|---|\n")
	fmt.Print(table.String())
	for _, r := range rows {
		if keys == nil && slices.Contains(optional, r.key) || keys != nil && !slices.Contains(keys, r.key) || !strings.Contains(r.workload, match) {
			continue
		}
		res, err := r.run(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", r.workload, err)
		}
		met := "yes"
		if !res.ok {
			met = "**no**"
		}
		line := fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |\n", r.workload, r.baseline, res.base, res.got, res.ratio, r.reach, met)
		if res.note != "" {
			line += fmt.Sprintf("| | | | | | %s | |\n", res.note)
		}
		fmt.Print(line)
		table.WriteString(line)
	}
	if write == "" {
		return nil
	}
	head := fmt.Sprintf("# Results\n\nWritten by `go run ./bench/compare -write bench/RESULTS.md` on %s: %s, %d cores, which the load, the\nsystem and the baseline share. Medians of %d rounds. Ratios matter, not figures: run it where you care.\n\n",
		time.Now().Format("2006-01-02"), runtime.Version(), runtime.NumCPU(), rounds)
	return os.WriteFile(write, []byte(head+table.String()), 0o644)
}
