// Package secrets draws strings that a regular expression matches, the same ones for the same seed.
package secrets

import (
	"math/rand"
	"os"
	"regexp/syntax"
	"strconv"
	"strings"
)

var drawn = func() *rand.Rand {
	seed, err := strconv.ParseInt(os.Getenv("SEED"), 10, 64)
	if err != nil {
		panic("SEED is a number")
	}
	return rand.New(rand.NewSource(seed))
}()

func NewSecret(expression string) string {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		panic(err)
	}
	var out strings.Builder
	write(&out, parsed)
	return out.String()
}

func write(out *strings.Builder, part *syntax.Regexp) {
	switch part.Op {
	case syntax.OpLiteral:
		for _, r := range part.Rune {
			out.WriteRune(r)
		}
	case syntax.OpCharClass:
		out.WriteRune(one(part.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		out.WriteRune(rune('!' + drawn.Intn('~'-'!')))
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range part.Sub {
			write(out, sub)
		}
	case syntax.OpAlternate:
		write(out, part.Sub[drawn.Intn(len(part.Sub))])
	case syntax.OpStar:
		repeat(out, part.Sub[0], 0, 10)
	case syntax.OpPlus:
		repeat(out, part.Sub[0], 1, 10)
	case syntax.OpQuest:
		repeat(out, part.Sub[0], 0, 1)
	case syntax.OpRepeat:
		most := part.Max
		if most < 0 {
			most = part.Min + 10
		}
		repeat(out, part.Sub[0], part.Min, most)
	}
}

func repeat(out *strings.Builder, part *syntax.Regexp, least, most int) {
	for count := least + drawn.Intn(most-least+1); count > 0; count-- {
		write(out, part)
	}
}

// one draws from ranges, of what can be printed where there is any.
func one(ranges []rune) rune {
	var among []rune
	for at := 0; at < len(ranges); at += 2 {
		for r := max(ranges[at], '!'); r <= min(ranges[at+1], '~'); r++ {
			among = append(among, r)
		}
	}
	if len(among) == 0 {
		return ranges[0]
	}
	return among[drawn.Intn(len(among))]
}
