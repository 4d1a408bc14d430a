package policylayer

decision contains {"effect": "deny", "rule": "drop"} if regex.match(`(?i)\bdrop\b`, input.args.path)
