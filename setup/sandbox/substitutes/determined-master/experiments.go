package main

import (
	"fmt"
	"sort"

	"sigs.k8s.io/yaml"
)

const noExperiments = "this determined-master is the sandbox's double of it: it runs commands and notebooks, but no experiments. " +
	"Put the real image into the bundle folder to run them"

// What the real master says of an empty configuration, as far as it was recorded.
const emptyExperiment = "invalid experiment configuration: Check Failed! 13 errors found:\n" +
	"\terror found at root.Hyperparameters: global_batch_size hyperparameter must be specified\n" +
	"\terror found at root.Searcher.AdaptiveASHAConfig: max_length must be > 0: 0 is not greater than 0\n" +
	"\terror found at root.Searcher.AdaptiveASHAConfig: max_trials must be > 0: 0 is not greater than 0\n" +
	"\terror found at root.Searcher.AsyncHalvingConfig: max_length must be > 0: 0 is not greater than 0"

var experimentKeys = map[string]bool{}

func init() {
	for _, name := range []string{"bind_mounts", "checkpoint_policy", "checkpoint_storage", "data", "data_layer", "debug", "description", "entrypoint",
		"environment", "hyperparameters", "internal", "labels", "max_restarts", "min_checkpoint_period", "min_validation_period", "optimizations",
		"perform_initial_validation", "profiling", "records_per_epoch", "reproducibility", "resources", "scheduling_unit", "searcher", "security",
		"tensorboard_storage"} {
		experimentKeys[name] = true
	}
}

func experimentProblem(config string) error {
	var given map[string]any
	if err := yaml.Unmarshal([]byte(config), &given); err != nil {
		return problem(invalid, "invalid experiment: invalid experiment configuration: %s", err)
	}
	if len(given) == 0 {
		return problem(invalid, "invalid experiment: "+emptyExperiment)
	}
	unknown := []string{}
	for name := range given {
		if !experimentKeys[name] {
			unknown = append(unknown, fmt.Sprintf("%q", name))
		}
	}
	if len(unknown) > 0 {
		sort.Strings(unknown)
		return problem(invalid, "invalid experiment: invalid experiment configuration: error unmarshaling JSON: while decoding JSON: json: unknown field %s", unknown[0])
	}
	return problem(unimplemented, noExperiments)
}
