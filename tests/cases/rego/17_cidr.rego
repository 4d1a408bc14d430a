package policylayer

decision contains {"effect": "allow", "rule": "inside"} if net.cidr_contains("10.0.0.0/8", input.request.ip)
