user = User.find_by_username('root')
token = user.personal_access_tokens.create(scopes: [:api, :read_repository, :write_repository], name: '$name', expires_at: '$until')
token.set_token('$value')
token.save!
