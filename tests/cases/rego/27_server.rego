package policylayer

decision contains {"effect": "allow", "rule": "shop"} if { input.server == "shop"; input.method == "tools/call" }
