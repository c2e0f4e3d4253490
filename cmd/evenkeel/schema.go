package main

import (
	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/desired"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of a fleet repo's files, for editors", GroupID: groupRepo, Args: takes(0, ""),
		Long: `Print the JSON Schema of fleet.yaml, inventories and service.yaml. An editor with the
YAML language server completes and checks with it where a file begins with
  # yaml-language-server: $schema=../../evenkeel.schema.json`,
		Example: `  evenkeel schema >evenkeel.schema.json`,
		RunE: func(*cobra.Command, []string) error {
			doc, err := desired.Schema()
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(append(doc, '\n'))
			return err
		},
	}
}
