select concat_ws('|', coalesce(type, ''), coalesce(array_to_string(database, ','), ''),
                 coalesce(array_to_string(user_name, ','), ''), coalesce(address, ''), coalesce(netmask, ''),
                 coalesce(error, auth_method, ''))
from pg_hba_file_rules order by line_number
