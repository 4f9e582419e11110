module dashboard

go 1.24
