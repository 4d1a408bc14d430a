package policylayer.lib

is_ticket_call if endswith(input.target, "_ticket")

is_ticket_call if endswith(input.target, "_tickets")
