package policylayer

decision contains {"effect": "allow", "rule": "glob"} if glob.match("docs/*/x", ["/"], input.args.path)
