// Package apitest has a controller that behaves, for tests of the API and of what
// speaks to it: actions change its snapshot and are recorded as events, and a rollout
// goes on when it is told to.
package apitest
