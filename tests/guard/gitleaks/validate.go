// Validate stands in for gitleaks' own: it tells the samples of a rule, and where the rule sees the secret.
package utils

import (
	"encoding/json"
	"math"
	"os"
	"sort"

	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/regexp"
)

var told = json.NewEncoder(os.Stdout)

type sample struct {
	Rule   string   `json:"rule"`
	Secret bool     `json:"secret"`
	Text   string   `json:"text"`
	Spans  [][2]int `json:"spans"`
}

func Validate(rule config.Rule, positive []string, negative []string) *config.Rule {
	if rule.Regex == nil {
		return &rule
	}
	for _, text := range positive {
		tell(sample{rule.RuleID, true, text, spans(&rule, text)})
	}
	for _, text := range negative {
		tell(sample{rule.RuleID, false, text, [][2]int{}})
	}
	return &rule
}

// ValidateWithPaths leaves out what is no secret for the name of its file only.
func ValidateWithPaths(rule config.Rule, positive map[string]string, negative map[string]string) *config.Rule {
	if rule.Regex == nil {
		return &rule
	}
	return Validate(rule, texts(positive, nil), texts(negative, rule.Regex))
}

func texts(files map[string]string, unlike *regexp.Regexp) []string {
	var names, all []string
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if unlike == nil || !unlike.MatchString(files[name]) {
			all = append(all, files[name])
		}
	}
	return all
}

func tell(one sample) {
	if err := told.Encode(one); err != nil {
		panic(err)
	}
}

// spans of secrets: the group that the rule names or the first that has something, else the whole.
func spans(rule *config.Rule, text string) [][2]int {
	found := [][2]int{}
	for _, match := range rule.Regex.FindAllStringSubmatchIndex(text, -1) {
		start, end := match[0], match[1]
		for group := 1; group < len(match)/2; group++ {
			wanted := rule.SecretGroup == 0 || rule.SecretGroup == group
			if wanted && match[2*group+1] > match[2*group] {
				start, end = match[2*group], match[2*group+1]
				break
			}
		}
		if entropy(text[start:end]) >= rule.Entropy {
			found = append(found, [2]int{start, end})
		}
	}
	return found
}

func entropy(text string) float64 {
	counts := map[rune]float64{}
	for _, r := range text {
		counts[r]++
	}
	bits := 0.0
	for _, count := range counts {
		share := count / float64(len(text))
		bits -= share * math.Log2(share)
	}
	return bits
}
