package lambdahost

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// reserved reports whether a name is one that Lambda sets itself and refuses as
// a function's setting
// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html).
func reserved(name string) bool {
	switch name {
	case "_HANDLER", "_X_AMZN_TRACE_ID",
		"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
		"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
		"LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR":
		return true
	}
	return strings.HasPrefix(name, "AWS_LAMBDA_")
}

// checkSettings refuses settings that Lambda would refuse: reserved names, names
// that are not a letter followed by letters, digits and underscores, and values
// that no process can be given.
func checkSettings(settings map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if reserved(name) {
			return fmt.Errorf("the setting %s is reserved by Lambda", name)
		}
		if !settingName(name) {
			return fmt.Errorf("the setting %q has a name that Lambda does not take", name)
		}
		if strings.ContainsRune(settings[name], 0) {
			return fmt.Errorf("the setting %s holds a NUL byte", name)
		}
	}
	return nil
}

func settingName(name string) bool {
	if len(name) < 2 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		inner := c >= '0' && c <= '9' || c == '_'
		if !letter && (i == 0 || !inner) {
			return false
		}
	}
	return true
}

// environment is all that a sandbox's process finds in its environment. Nothing
// of the host's own environment is handed on but PATH: a setting that is only in
// a developer's shell must be missing here as it will be missing in the cloud.
// A function may set PATH, TZ and LANG itself, as in Lambda.
func (o Options) environment(f Function, runtimeAPI, logStream string) []string {
	vars := map[string]string{
		"PATH": os.Getenv("PATH"),
		"LANG": "en_US.UTF-8",
		"TZ":   ":UTC",
	}
	maps.Copy(vars, f.Env)
	maps.Copy(vars, map[string]string{
		"_HANDLER":                        filepath.Base(f.Bootstrap),
		"LAMBDA_TASK_ROOT":                filepath.Dir(f.Bootstrap),
		"LAMBDA_RUNTIME_DIR":              filepath.Dir(f.Bootstrap),
		"AWS_LAMBDA_RUNTIME_API":          runtimeAPI,
		"AWS_LAMBDA_FUNCTION_NAME":        f.Name,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.MemoryMB),
		"AWS_LAMBDA_FUNCTION_VERSION":     functionVersion,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_FORMAT":           "JSON",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      logStream,
		"AWS_REGION":                      o.Region,
		"AWS_DEFAULT_REGION":              o.Region,
		"AWS_ACCESS_KEY_ID":               o.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY":           o.SecretAccessKey,
		"AWS_SESSION_TOKEN":               o.SessionToken,
	})
	env := make([]string, 0, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+vars[name])
	}
	return env
}

// functionVersion is the version of a function that was never published.
const functionVersion = "$LATEST"

func (o Options) arn(function string) string {
	partition := "aws"
	if strings.HasPrefix(o.Region, "cn-") {
		partition = "aws-cn"
	}
	return "arn:" + partition + ":lambda:" + o.Region + ":" + o.AccountID + ":function:" + function
}
