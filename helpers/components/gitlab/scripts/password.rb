user = User.find_by_username('root')
user.password = '$value'
user.password_confirmation = '$value'
user.save!
